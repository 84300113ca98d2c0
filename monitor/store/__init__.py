"""
The store: one SQLite file, one thread that writes it, any number of readers that only read.

    writer.Writer      the daemon's queue and its thread
    reader.Reader      replay, totals, pages
    lock.StoreLock     one daemon per file

Rows stay inside: probes go in and come out as ``ProbeResult``, orders as ``Order``.
"""
