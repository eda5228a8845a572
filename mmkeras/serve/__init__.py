"""Answers over HTTP: what `mmkeras serve` runs.

A request goes through these files: `heads` (the time of its head), `gate` (key, rate, size, log),
`bodies` (JSON or a form becomes rows), `rows` (rows become arrays, as `load_table` makes them),
`batches` (rows of several requests are answered together), `engine` (the compiled model), `shares`
(what the modalities did), `service` (the run and its answers), `app` (the addresses).
"""
