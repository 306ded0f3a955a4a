// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors
//
// Made from the public headers by ism-sys/gen: do not edit.

use super::*;

#[test]
fn bindgen_test_layout_ism_open_opts() {
    assert_eq!(::std::mem::size_of::<ism_open_opts>(), 56usize, concat!("Size of: ", stringify!(ism_open_opts)));
    assert_eq!(::std::mem::align_of::<ism_open_opts>(), 8usize, concat!("Alignment of ", stringify!(ism_open_opts)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_flags() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).flags) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(flags))
        );
    }
    test_field_flags();
    fn test_field_spin_us() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).spin_us) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(spin_us))
        );
    }
    test_field_spin_us();
    fn test_field_window_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).window_size) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(window_size))
        );
    }
    test_field_window_size();
    fn test_field_timeout_ms() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).timeout_ms) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(timeout_ms))
        );
    }
    test_field_timeout_ms();
    fn test_field_restart_ms() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).restart_ms) as usize - ptr as usize
            },
            28usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(restart_ms))
        );
    }
    test_field_restart_ms();
    fn test_field_name() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).name) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(name))
        );
    }
    test_field_name();
    fn test_field_log() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).log) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(log))
        );
    }
    test_field_log();
    fn test_field_log_data() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_open_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).log_data) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_open_opts), "::", stringify!(log_data))
        );
    }
    test_field_log_data();
}
#[test]
fn bindgen_test_layout_ism_info() {
    assert_eq!(::std::mem::size_of::<ism_info>(), 200usize, concat!("Size of: ", stringify!(ism_info)));
    assert_eq!(::std::mem::align_of::<ism_info>(), 8usize, concat!("Alignment of ", stringify!(ism_info)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_gid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).gid) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(gid))
        );
    }
    test_field_gid();
    fn test_field_devid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devid) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(devid))
        );
    }
    test_field_devid();
    fn test_field_chunk_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).chunk_size) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(chunk_size))
        );
    }
    test_field_chunk_size();
    fn test_field_notify_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).notify_size) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(notify_size))
        );
    }
    test_field_notify_size();
    fn test_field_window_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).window_size) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(window_size))
        );
    }
    test_field_window_size();
    fn test_field_max_region() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).max_region) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(max_region))
        );
    }
    test_field_max_region();
    fn test_field_max_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).max_regions) as usize - ptr as usize
            },
            56usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(max_regions))
        );
    }
    test_field_max_regions();
    fn test_field_host() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).host) as usize - ptr as usize
            },
            60usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(host))
        );
    }
    test_field_host();
    fn test_field_host_pid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).host_pid) as usize - ptr as usize
            },
            64usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(host_pid))
        );
    }
    test_field_host_pid();
    fn test_field_features() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).features) as usize - ptr as usize
            },
            68usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(features))
        );
    }
    test_field_features();
    fn test_field_backend() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).backend) as usize - ptr as usize
            },
            72usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(backend))
        );
    }
    test_field_backend();
    fn test_field_path() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).path) as usize - ptr as usize
            },
            88usize,
            concat!("Offset of field: ", stringify!(ism_info), "::", stringify!(path))
        );
    }
    test_field_path();
}
#[test]
fn bindgen_test_layout_ism_stats() {
    assert_eq!(::std::mem::size_of::<ism_stats>(), 104usize, concat!("Size of: ", stringify!(ism_stats)));
    assert_eq!(::std::mem::align_of::<ism_stats>(), 8usize, concat!("Alignment of ", stringify!(ism_stats)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_notifies() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).notifies) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(notifies))
        );
    }
    test_field_notifies();
    fn test_field_rings_direct() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).rings_direct) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(rings_direct))
        );
    }
    test_field_rings_direct();
    fn test_field_rings_host() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).rings_host) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(rings_host))
        );
    }
    test_field_rings_host();
    fn test_field_wakes_sent() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).wakes_sent) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(wakes_sent))
        );
    }
    test_field_wakes_sent();
    fn test_field_wakes_suppressed() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).wakes_suppressed) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(wakes_suppressed))
        );
    }
    test_field_wakes_suppressed();
    fn test_field_spins_paid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).spins_paid) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(spins_paid))
        );
    }
    test_field_spins_paid();
    fn test_field_spins_unpaid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).spins_unpaid) as usize - ptr as usize
            },
            56usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(spins_unpaid))
        );
    }
    test_field_spins_unpaid();
    fn test_field_sleeps() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).sleeps) as usize - ptr as usize
            },
            64usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(sleeps))
        );
    }
    test_field_sleeps();
    fn test_field_control_calls() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).control_calls) as usize - ptr as usize
            },
            72usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(control_calls))
        );
    }
    test_field_control_calls();
    fn test_field_links() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).links) as usize - ptr as usize
            },
            80usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(links))
        );
    }
    test_field_links();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            88usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_stats>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            96usize,
            concat!("Offset of field: ", stringify!(ism_stats), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
}
#[test]
fn bindgen_test_layout_ism_alloc_opts() {
    assert_eq!(::std::mem::size_of::<ism_alloc_opts>(), 24usize, concat!("Size of: ", stringify!(ism_alloc_opts)));
    assert_eq!(::std::mem::align_of::<ism_alloc_opts>(), 8usize, concat!("Alignment of ", stringify!(ism_alloc_opts)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_alloc_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_alloc_opts), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_flags() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_alloc_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).flags) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_alloc_opts), "::", stringify!(flags))
        );
    }
    test_field_flags();
    fn test_field_node() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_alloc_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).node) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_alloc_opts), "::", stringify!(node))
        );
    }
    test_field_node();
    fn test_field_peer() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_alloc_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).peer) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_alloc_opts), "::", stringify!(peer))
        );
    }
    test_field_peer();
}
#[test]
fn bindgen_test_layout_ism_attach_opts() {
    assert_eq!(::std::mem::size_of::<ism_attach_opts>(), 16usize, concat!("Size of: ", stringify!(ism_attach_opts)));
    assert_eq!(
        ::std::mem::align_of::<ism_attach_opts>(),
        8usize,
        concat!("Alignment of ", stringify!(ism_attach_opts))
    );
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_attach_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_attach_opts), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_flags() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_attach_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).flags) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_attach_opts), "::", stringify!(flags))
        );
    }
    test_field_flags();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_attach_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_attach_opts), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
}
#[test]
fn bindgen_test_layout_ism_device_entry() {
    assert_eq!(::std::mem::size_of::<ism_device_entry>(), 80usize, concat!("Size of: ", stringify!(ism_device_entry)));
    assert_eq!(
        ::std::mem::align_of::<ism_device_entry>(),
        8usize,
        concat!("Alignment of ", stringify!(ism_device_entry))
    );
    fn test_field_devid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devid) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(devid))
        );
    }
    test_field_devid();
    fn test_field_window_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).window_size) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(window_size))
        );
    }
    test_field_window_size();
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
    fn test_field_failed() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).failed) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(failed))
        );
    }
    test_field_failed();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_uid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).uid) as usize - ptr as usize
            },
            36usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(uid))
        );
    }
    test_field_uid();
    fn test_field_pid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).pid) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(pid))
        );
    }
    test_field_pid();
    fn test_field_self() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).self_) as usize - ptr as usize
            },
            44usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(self_))
        );
    }
    test_field_self();
    fn test_field_name() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_device_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).name) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_device_entry), "::", stringify!(name))
        );
    }
    test_field_name();
}
#[test]
fn bindgen_test_layout_ism_region_entry() {
    assert_eq!(::std::mem::size_of::<ism_region_entry>(), 72usize, concat!("Size of: ", stringify!(ism_region_entry)));
    assert_eq!(
        ::std::mem::align_of::<ism_region_entry>(),
        8usize,
        concat!("Alignment of ", stringify!(ism_region_entry))
    );
    fn test_field_serial() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).serial) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(serial))
        );
    }
    test_field_serial();
    fn test_field_token() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).token) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(token))
        );
    }
    test_field_token();
    fn test_field_region_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).region_size) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(region_size))
        );
    }
    test_field_region_size();
    fn test_field_requested_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).requested_size) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(requested_size))
        );
    }
    test_field_requested_size();
    fn test_field_creator() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).creator) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(creator))
        );
    }
    test_field_creator();
    fn test_field_creator_uid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).creator_uid) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(creator_uid))
        );
    }
    test_field_creator_uid();
    fn test_field_referrers() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).referrers) as usize - ptr as usize
            },
            44usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(referrers))
        );
    }
    test_field_referrers();
    fn test_field_default_rights() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).default_rights) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(default_rights))
        );
    }
    test_field_default_rights();
    fn test_field_ended() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).ended) as usize - ptr as usize
            },
            52usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(ended))
        );
    }
    test_field_ended();
    fn test_field_successor() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).successor) as usize - ptr as usize
            },
            56usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(successor))
        );
    }
    test_field_successor();
    fn test_field_replaced() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).replaced) as usize - ptr as usize
            },
            64usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(replaced))
        );
    }
    test_field_replaced();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_region_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            68usize,
            concat!("Offset of field: ", stringify!(ism_region_entry), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
}
#[test]
fn bindgen_test_layout_ism_referrer_entry() {
    assert_eq!(
        ::std::mem::size_of::<ism_referrer_entry>(),
        32usize,
        concat!("Size of: ", stringify!(ism_referrer_entry))
    );
    assert_eq!(
        ::std::mem::align_of::<ism_referrer_entry>(),
        8usize,
        concat!("Alignment of ", stringify!(ism_referrer_entry))
    );
    fn test_field_devid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devid) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(devid))
        );
    }
    test_field_devid();
    fn test_field_uid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).uid) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(uid))
        );
    }
    test_field_uid();
    fn test_field_attached() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).attached) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(attached))
        );
    }
    test_field_attached();
    fn test_field_rights() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).rights) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(rights))
        );
    }
    test_field_rights();
    fn test_field_creator() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).creator) as usize - ptr as usize
            },
            20usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(creator))
        );
    }
    test_field_creator();
    fn test_field_shut_out() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).shut_out) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(shut_out))
        );
    }
    test_field_shut_out();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_referrer_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            28usize,
            concat!("Offset of field: ", stringify!(ism_referrer_entry), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
}
#[test]
fn bindgen_test_layout_ism_user_entry() {
    assert_eq!(::std::mem::size_of::<ism_user_entry>(), 40usize, concat!("Size of: ", stringify!(ism_user_entry)));
    assert_eq!(::std::mem::align_of::<ism_user_entry>(), 8usize, concat!("Alignment of ", stringify!(ism_user_entry)));
    fn test_field_uid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).uid) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(uid))
        );
    }
    test_field_uid();
    fn test_field_devices() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devices) as usize - ptr as usize
            },
            4usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(devices))
        );
    }
    test_field_devices();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_grants() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).grants) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(grants))
        );
    }
    test_field_grants();
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
    fn test_field_failed() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).failed) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(failed))
        );
    }
    test_field_failed();
    fn test_field_over_quota() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_user_entry>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).over_quota) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_user_entry), "::", stringify!(over_quota))
        );
    }
    test_field_over_quota();
}
#[test]
fn bindgen_test_layout_ism_quota() {
    assert_eq!(::std::mem::size_of::<ism_quota>(), 32usize, concat!("Size of: ", stringify!(ism_quota)));
    assert_eq!(::std::mem::align_of::<ism_quota>(), 8usize, concat!("Alignment of ", stringify!(ism_quota)));
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_grants() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).grants) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(grants))
        );
    }
    test_field_grants();
    fn test_field_attach_rate() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).attach_rate) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(attach_rate))
        );
    }
    test_field_attach_rate();
    fn test_field_notify_rate() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).notify_rate) as usize - ptr as usize
            },
            20usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(notify_rate))
        );
    }
    test_field_notify_rate();
    fn test_field_devices() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devices) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(devices))
        );
    }
    test_field_devices();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            28usize,
            concat!("Offset of field: ", stringify!(ism_quota), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
}
#[test]
fn bindgen_test_layout_ism_domain_info() {
    assert_eq!(::std::mem::size_of::<ism_domain_info>(), 208usize, concat!("Size of: ", stringify!(ism_domain_info)));
    assert_eq!(
        ::std::mem::align_of::<ism_domain_info>(),
        8usize,
        concat!("Alignment of ", stringify!(ism_domain_info))
    );
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_gid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).gid) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(gid))
        );
    }
    test_field_gid();
    fn test_field_devices() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devices) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(devices))
        );
    }
    test_field_devices();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            32usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
    fn test_field_host() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).host) as usize - ptr as usize
            },
            40usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(host))
        );
    }
    test_field_host();
    fn test_field_host_uid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).host_uid) as usize - ptr as usize
            },
            44usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(host_uid))
        );
    }
    test_field_host_uid();
    fn test_field_version() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).version) as usize - ptr as usize
            },
            48usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(version))
        );
    }
    test_field_version();
    fn test_field_device_quota() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).device_quota) as usize - ptr as usize
            },
            64usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(device_quota))
        );
    }
    test_field_device_quota();
    fn test_field_user_quota() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).user_quota) as usize - ptr as usize
            },
            96usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(user_quota))
        );
    }
    test_field_user_quota();
    fn test_field_counted() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).counted) as usize - ptr as usize
            },
            128usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(counted))
        );
    }
    test_field_counted();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            132usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
    fn test_field_devices_ever() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devices_ever) as usize - ptr as usize
            },
            136usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(devices_ever))
        );
    }
    test_field_devices_ever();
    fn test_field_allocs() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).allocs) as usize - ptr as usize
            },
            144usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(allocs))
        );
    }
    test_field_allocs();
    fn test_field_attaches() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).attaches) as usize - ptr as usize
            },
            152usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(attaches))
        );
    }
    test_field_attaches();
    fn test_field_detaches() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).detaches) as usize - ptr as usize
            },
            160usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(detaches))
        );
    }
    test_field_detaches();
    fn test_field_failed() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).failed) as usize - ptr as usize
            },
            168usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(failed))
        );
    }
    test_field_failed();
    fn test_field_over_quota() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).over_quota) as usize - ptr as usize
            },
            176usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(over_quota))
        );
    }
    test_field_over_quota();
    fn test_field_commands() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).commands) as usize - ptr as usize
            },
            184usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(commands))
        );
    }
    test_field_commands();
    fn test_field_rings() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).rings) as usize - ptr as usize
            },
            192usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(rings))
        );
    }
    test_field_rings();
    fn test_field_kicks() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_domain_info>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).kicks) as usize - ptr as usize
            },
            200usize,
            concat!("Offset of field: ", stringify!(ism_domain_info), "::", stringify!(kicks))
        );
    }
    test_field_kicks();
}
#[test]
fn bindgen_test_layout_ism_event() {
    assert_eq!(::std::mem::size_of::<ism_event>(), 32usize, concat!("Size of: ", stringify!(ism_event)));
    assert_eq!(::std::mem::align_of::<ism_event>(), 8usize, concat!("Alignment of ", stringify!(ism_event)));
    fn test_field_type() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_event>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).type_) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_event), "::", stringify!(type_))
        );
    }
    test_field_type();
    fn test_field_peers() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_event>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).peers) as usize - ptr as usize
            },
            4usize,
            concat!("Offset of field: ", stringify!(ism_event), "::", stringify!(peers))
        );
    }
    test_field_peers();
    fn test_field_devid() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_event>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devid) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_event), "::", stringify!(devid))
        );
    }
    test_field_devid();
    fn test_field_token() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_event>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).token) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_event), "::", stringify!(token))
        );
    }
    test_field_token();
    fn test_field_region() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_event>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).region) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_event), "::", stringify!(region))
        );
    }
    test_field_region();
}
#[test]
fn bindgen_test_layout_ism_ring_opts() {
    assert_eq!(::std::mem::size_of::<ism_ring_opts>(), 24usize, concat!("Size of: ", stringify!(ism_ring_opts)));
    assert_eq!(::std::mem::align_of::<ism_ring_opts>(), 8usize, concat!("Alignment of ", stringify!(ism_ring_opts)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_ring_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_ring_opts), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_offset() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_ring_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).offset) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_ring_opts), "::", stringify!(offset))
        );
    }
    test_field_offset();
    fn test_field_length() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_ring_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).length) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_ring_opts), "::", stringify!(length))
        );
    }
    test_field_length();
}
#[test]
fn bindgen_test_layout_ism_ring_buf() {
    assert_eq!(::std::mem::size_of::<ism_ring_buf>(), 16usize, concat!("Size of: ", stringify!(ism_ring_buf)));
    assert_eq!(::std::mem::align_of::<ism_ring_buf>(), 8usize, concat!("Alignment of ", stringify!(ism_ring_buf)));
    fn test_field_data() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_ring_buf>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).data) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_ring_buf), "::", stringify!(data))
        );
    }
    test_field_data();
    fn test_field_len() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_ring_buf>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).len) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_ring_buf), "::", stringify!(len))
        );
    }
    test_field_len();
}
#[test]
fn bindgen_test_layout_ism_emu_quota() {
    assert_eq!(::std::mem::size_of::<ism_emu_quota>(), 32usize, concat!("Size of: ", stringify!(ism_emu_quota)));
    assert_eq!(::std::mem::align_of::<ism_emu_quota>(), 8usize, concat!("Alignment of ", stringify!(ism_emu_quota)));
    fn test_field_bytes() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).bytes) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(bytes))
        );
    }
    test_field_bytes();
    fn test_field_regions() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).regions) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(regions))
        );
    }
    test_field_regions();
    fn test_field_grants() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).grants) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(grants))
        );
    }
    test_field_grants();
    fn test_field_attach_rate() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).attach_rate) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(attach_rate))
        );
    }
    test_field_attach_rate();
    fn test_field_notify_rate() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).notify_rate) as usize - ptr as usize
            },
            20usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(notify_rate))
        );
    }
    test_field_notify_rate();
    fn test_field_devices() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).devices) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(devices))
        );
    }
    test_field_devices();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_quota>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            28usize,
            concat!("Offset of field: ", stringify!(ism_emu_quota), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
}
#[test]
fn bindgen_test_layout_ism_emu_opts() {
    assert_eq!(::std::mem::size_of::<ism_emu_opts>(), 88usize, concat!("Size of: ", stringify!(ism_emu_opts)));
    assert_eq!(::std::mem::align_of::<ism_emu_opts>(), 8usize, concat!("Alignment of ", stringify!(ism_emu_opts)));
    fn test_field_size() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).size) as usize - ptr as usize
            },
            0usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(size))
        );
    }
    test_field_size();
    fn test_field_flags() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).flags) as usize - ptr as usize
            },
            8usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(flags))
        );
    }
    test_field_flags();
    fn test_field_reserved() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).reserved) as usize - ptr as usize
            },
            12usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(reserved))
        );
    }
    test_field_reserved();
    fn test_field_faults() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).faults) as usize - ptr as usize
            },
            16usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(faults))
        );
    }
    test_field_faults();
    fn test_field_device() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).device) as usize - ptr as usize
            },
            24usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(device))
        );
    }
    test_field_device();
    fn test_field_user() {
        assert_eq!(
            unsafe {
                let uninit = ::std::mem::MaybeUninit::<ism_emu_opts>::uninit();
                let ptr = uninit.as_ptr();
                ::std::ptr::addr_of!((*ptr).user) as usize - ptr as usize
            },
            56usize,
            concat!("Offset of field: ", stringify!(ism_emu_opts), "::", stringify!(user))
        );
    }
    test_field_user();
}
