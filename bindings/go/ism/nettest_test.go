// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//go:build nettest

package ism_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// What golang.org/x/net expects of any net.Conn.
func TestNettest(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		client, server := conns(t, domain(t))
		return client, server, func() { client.Close(); server.Close() }, nil
	})
}
