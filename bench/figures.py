# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""What a run of bench/run came to: figures by transport, metric and size, one for each round.

A run is a dictionary, and its JSON the same: "machine", "rounds", "skipped", and "figures", a list of
{"name", "metric", "bytes", "rounds"}, where a round that has no figure has None.  Ratios are taken within a round;
what is told is the median over the rounds.
"""

import statistics

#: A round in which other programs took so much of a CPU, or the CPUs were so much farther apart than at best, tells
#: nothing of the transport.
OTHERS_MAX = 0.15
FAR = 1.6


class Run:
    def __init__(self, data):
        self.data = data
        self.figures = {(f["name"], f["metric"], f["bytes"]): f["rounds"] for f in data["figures"]}
        #: Most of the time the CPUs are so near; a few times they may be nearer, as two threads of one core.
        near = [v for (_, metric, _), values in self.figures.items() if metric == "line_ns" for v in values if v]
        self.near = statistics.quantiles(near, n=10)[0] if len(near) > 1 else near[0] if near else None
        self.disturbed = self.cells = 0
        for (name, metric, size), values in self.figures.items():
            if metric == "others":
                self.cells += len(values)
                self.disturbed += sum(not self.good(name, size, i) for i in range(len(values)))

    def good(self, name, size, i):
        """Was this round quiet?"""
        others = self.figures.get((name, "others", size))
        line = self.figures.get((name, "line_ns", size))
        if others and (others[i] or 0) > OTHERS_MAX:
            return False
        return not (line and line[i] and line[i] > FAR * self.near)

    def values(self, name, metric, size):
        """By round; the quiet rounds alone if there are any."""
        values = self.figures.get((name, metric, size), [])
        quiet = [v if self.good(name, size, i) else None for i, v in enumerate(values)]
        return quiet if any(v is not None for v in quiet) else values

    def median(self, name, metric, size):
        values = [v for v in self.values(name, metric, size) if v is not None]
        return statistics.median(values) if values else None

    def spread(self, name, metric, size):
        """Half of the distance between the quartiles, as a part of the median."""
        values = [v for v in self.values(name, metric, size) if v is not None]
        if len(values) < 4 or not statistics.median(values):
            return None
        low, _, high = statistics.quantiles(values, n=4)
        return (high - low) / 2 / statistics.median(values)

    def best(self, names, metric, size):
        """One of several names: the one with the largest median."""
        if isinstance(names, tuple):
            names = max(names, key=lambda n: self.median(n, metric, size) or 0)
        return names, metric, size

    def ratio(self, a, b):
        """The median over the rounds of a / b, each (name, metric, bytes)."""
        pairs = zip(self.values(*a), self.values(*b))
        values = [x / y for x, y in pairs if x is not None and y]
        if not values:          # no round in which both were quiet
            x, y = self.median(*a), self.median(*b)
            return x / y if x is not None and y else None
        return statistics.median(values)

    def names(self, metric, part=""):
        """The transports that have this metric, in the order in which they were measured."""
        return list(dict.fromkeys(n for n, m, _ in self.figures if m == metric and part in n))


# ---------------------------------------------------------------- targets

#: The rings that we may choose from for a stream, and those to measure ourselves against.
RINGS = ("emu-ring-spin", "emu-ring", "emu-ring-pieces")
REFERENCES = ("ref-ring", "ref-wait", "ref-sleep")
MIB = 1 << 20


def trip(name, size, metric="rtt_p50"):
    """A round trip, in cache lines there and back."""
    return (name, metric, size), (name, "line_ns", size)


def call(name, size=0):
    return name, "ns_p50", size


def best(names, metric, size):
    """Of several transports the one with the best figure."""
    return names, metric, size


def grown(name, metric, few, many):
    return (name, metric, many), (name, metric, few)


#: As one record, and as the reference sends it, in pieces.
COPIED = ("64 KiB", "emu-ring", 65536), ("1 MiB in pieces", "emu-ring-pieces", MIB)
#: What it says, figure a, what it is divided by (another figure, or a number), "at most" or "at least", the bound.
TARGETS = [
    ("ring round trip, spinning, 8 B / cache line", *trip("emu-ring-spin", 8), "<=", 1.3),
    ("ring round trip, spinning, 64 B / cache line", *trip("emu-ring-spin", 64), "<=", 1.4),
    ("ring round trip, as libism waits by default, 8 B / cache line", *trip("emu-ring", 8), "<=", 1.5),
    ("ring round trip, as libism waits by default, 64 B / cache line", *trip("emu-ring", 64), "<=", 1.5),
    ("ring round trip, 64 KiB copied / cache line", *trip("emu-ring-spin", 65536), "<=", 34),
    ("ring round trip, 64 KiB in place / cache line", *trip("emu-place", 65536), "<=", 1.6),
    ("doorbell asleep, two CPUs / eventfd",
     ("emu-bell-sleep", "rtt_p50", 8), ("eventfd", "rtt_p50", 8), "<=", 1.05),
    ("doorbell asleep, one CPU / eventfd",
     ("emu-bell-sleep@1", "rtt_p50", 8), ("eventfd@1", "rtt_p50", 8), "<=", 1.2),
    *((f"one way {text} / best reference ring", best(RINGS, "MB_per_s", size), best(REFERENCES, "MB_per_s", size), ">=", 0.95)
      for text, size in (("64 B", 64), ("1 KiB", 1024), ("64 KiB", 65536), ("1 MiB", MIB))),
    ("one way 64 B, 32 at once / best reference ring",
     ("emu-ring-many", "MB_per_s", 64), best(REFERENCES, "MB_per_s", 64), ">=", 0.95),
    ("one way 64 B / UCX posix", best(RINGS, "MB_per_s", 64), ("ucx-posix", "MB_per_s", 64), ">=", 2),
    ("one way 64 KiB / UCX posix", best(RINGS, "MB_per_s", 65536), ("ucx-posix", "MB_per_s", 65536), ">=", 1.2),
    *((f"descriptors of {text} in place, millions a second", ("emu-descriptors", "msg_per_s", size), 1e6, ">=", 30)
      for text, size in (("64 B", 64), ("1 KiB", 1024), ("64 KiB", 65536), ("1 MiB", MIB))),
    *((f"CPU per GB, {text} / TCP", (name, "cpu_s_per_GB", size), ("tcp", "cpu_s_per_GB", size), "<=", 0.2)
      for text, name, size in COPIED),
    *((f"CPU per GB, {text} / reference ring", (name, "cpu_s_per_GB", size), ("ref-ring", "cpu_s_per_GB", size), "<=", 1.05)
      for text, name, size in COPIED),
    ("alloc of a pooled MiB, touched / memfd, map, touch", call("emu-alloc-pooled", MIB), call("memfd-map-touch", MIB), "<=", 0.05),
    ("alloc of a fresh MiB, touched / memfd, map, touch", call("emu-alloc-touch", MIB), call("memfd-map-touch", MIB), "<=", 1.1),
    ("first attach / passing a descriptor, and map", call("emu-attach", MIB), call("pass-fd-map", MIB), "<=", 1.1),
    ("control round trip, host awake / asleep", call("emu-control-busy"), call("emu-control-idle"), "<=", 0.15),
    ("regions made, shared, used, freed: pooled, 64 at once, thousands a second", ("emu-churn-pooled", "per_s", 64), 1e3, ">=", 100),
    ("regions made, shared, used, freed: pooled, one by one / descriptors passed",
     ("emu-churn-pooled", "per_s", 1), ("memfd-churn", "per_s", 1), ">=", 3),
    *((f"notify to {n} that sleep / {n} eventfds", call("emu-fan-out-asleep", n), call("eventfd-fan-out-asleep", n), "<=", 1.1)
      for n in (1, 10, 100, 1000)),
    *((f"notify to {n} that are awake, ns each", call("emu-fan-out-awake", n), 1, "<=", 100) for n in (10, 100, 1000)),
    *((f"{what} with 10,000 regions / with 10", *grown("emu-regions", f"grow_{what}_us", 10, 10000), "<=", 1.5)
      for what in ("alloc", "attach", "notify", "wait")),
    ("waking each of 1,000 devices / of 10", *grown("emu-devices", "grow_wake_each_us", 10, 1000), "<=", 1.5),
    ("memory of each of 1,000 devices / of 2, its process", *grown("emu-devices", "grow_KiB_each", 2, 1000), "<=", 1.5),
    ("memory of each of 1,000 devices / of 10, the host", *grown("emu-devices", "grow_host_KiB_each", 10, 1000), "<=", 1.5),
    ("loop: alloc, attach, detach beyond memory's costs, us", call("loop-life-beyond", 65536), 1000, "<=", 2),
    ("loop: notify, peer awake, ns", call("loop-notify-awake"), 1, "<=", 30),
]


def targets(run):
    """(text, figure, "<=" or ">=", bound, met) of those that this run can tell."""
    for text, a, b, sign, bound in TARGETS:
        if isinstance(b, tuple):
            figure = run.ratio(run.best(*a), run.best(*b))
        else:
            figure = run.median(*a)
            figure = figure / b if figure is not None else None
        if figure is not None:
            yield text, figure, sign, bound, figure <= bound if sign == "<=" else figure >= bound


# ---------------------------------------------------------------- tables

def human(x):
    if x is None:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(x) >= limit:
            return f"{x / (limit if limit > 1e4 else 1e3):.3g}{unit}"
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def size_text(size):
    if size < 1024:
        return f"{size} B"
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def time_text(ns):
    if ns is None:
        return ""
    return f"{ns:.0f} ns" if ns < 1000 else f"{ns / 1000:.3g} us" if ns < 1e6 else f"{ns / 1e6:.3g} ms"


def table(head, rows):
    """Markdown that reads well as text, too."""
    rows = [[str(c) for c in r] for r in rows]
    width = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    out = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))) + " |"
           for r in [head, *rows]]
    out.insert(1, "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|")
    return "\n".join(out)


def trips_table(run, size):
    rows = []
    for name in run.names("rtt_mean"):
        mean = run.median(name, "rtt_mean", size)
        if mean is None:
            continue
        metric = "rtt_p50" if run.median(name, "rtt_p50", size) is not None else "rtt_mean"
        p50, spread = run.median(name, metric, size), run.spread(name, metric, size)
        lines = run.ratio(*trip(name, size, metric)) or run.ratio((name, metric, size), ("ref-words", "line_ns", 8))
        rows.append([name, time_text(p50), "" if spread is None else f"{spread:.0%}",
                     time_text(run.median(name, "rtt_p99", size)), time_text(run.median(name, "rtt_p999", size)),
                     time_text(run.median(name, "rtt_cpu_ns", size)), "" if "@1" in name or lines is None else human(lines)])
    return table(["", "p50", "+-", "p99", "p99.9", "CPU, both", "lines"], rows)


def stream_table(run, metric, sizes):
    rows = [[n, *(human(run.median(n, metric, s)) for s in sizes)] for n in run.names(metric)]
    return table(["", *map(size_text, sizes)], rows)


def open_table(run):
    rows = [[n, time_text((run.median(n, "open_us", 64) or run.median(n, "open_us", 8) or 0) * 1000),
             time_text((run.median(n, "close_us", 64) or run.median(n, "close_us", 8) or 0) * 1000)]
            for n in run.names("open_us") if "@1" not in n]
    return table(["", "open, first round trip", "close"], rows)


def churn_table(run):
    keys = [(n, s) for n, m, s in run.figures if m == "per_s" and s < 1024]
    return table(["", "at once", "regions a second"], [[n, s, human(run.median(n, "per_s", s))] for n, s in keys])


def costs_table(run):
    keys = [(n, s) for n, m, s in run.figures if m == "ns_p50"]
    rows = [[n, "" if s == 0 else str(s), time_text(run.median(n, "ns_p50", s)), time_text(run.median(n, "ns_p99", s))]
            for n, s in keys]
    return table(["", "bytes, or how many", "p50", "p99"], rows)


def grow_table(run):
    keys = dict.fromkeys((n, s) for n, m, s in run.figures if m.startswith("grow_"))
    metrics = list(dict.fromkeys(m for _, m, _ in run.figures if m.startswith("grow_")))
    rows = [[n, s, *(human(run.median(n, m, s)) for m in metrics)] for n, s in keys]
    return table(["", "how many", *(m[5:].replace("_", " ") for m in metrics)], rows)


def report(run):
    """All of it, as Markdown."""
    m, d = run.data["machine"], run.data
    yield f"Commit {d['commit']}; {m['cpu']}, {m['cpus']} CPUs; Linux {m['kernel']}; {m['distribution']}."
    yield (f"{d['rounds']} round{'s' if d['rounds'] > 1 else ''} of {d['ms']} ms for each figure; {run.disturbed} of {run.cells} measurements were disturbed "
           "and left out where a quiet round was.")
    if run.near:
        lines = [v for n, mt, s in run.figures if mt == "line_ns" for v in run.values(n, mt, s) if v]
        yield f"A cache line there and back: {statistics.median(lines):.0f} ns ({min(lines):.0f} to {max(lines):.0f})."
    for name, why in d["skipped"].items():
        yield f"Skipped: {name} ({why})."
    rows = [[t, f"{f:.3g}", f"{sign} {bound:g}", "met" if met else "missed"] for t, f, sign, bound, met in targets(run)]
    if rows:
        met = sum(r[-1] == "met" for r in rows)
        yield f"\n## Targets: {met} of {len(rows)} met\n\n" + table(["", "figure", "target", ""], rows)
    sizes = sorted({s for _, mt, s in run.figures if mt == "rtt_mean"})
    for size in sizes:
        yield f"\n## Round trips of {size_text(size)}\n\n" + trips_table(run, size)
    sizes = sorted({s for _, mt, s in run.figures if mt == "MB_per_s"})
    for metric, title in (("MB_per_s", "One way, MB/s"), ("msg_per_s", "One way, messages a second"),
                          ("cpu_s_per_GB", "One way, CPU seconds per GB, both ends"),
                          ("cpu_s_per_M", "One way, CPU seconds per million messages, both ends")):
        if sizes:
            yield f"\n## {title}\n\n" + stream_table(run, metric, sizes)
    if run.names("open_us"):
        yield "\n## Opening and closing both ends\n\n" + open_table(run)
    if run.names("ns_p50"):
        yield "\n## Calls and floors\n\n" + costs_table(run)
    if run.names("per_s", "churn"):
        yield "\n## Made, shared, used once, freed\n\n" + churn_table(run)
    if any(mt.startswith("grow_") for _, mt, _ in run.figures):
        yield "\n## As regions and devices grow\n\n" + grow_table(run)
