"""How long things take, held to a limit.

previews.py    prod against a flat program of the same resources; 1, 10 and 50 workloads
flat.py        writes that flat program
scale/         the program of any number of workloads
verbs.py       make up (cold, warm, nothing to change), make check, make test
results.py     results.json and the table in docs/benchmarks.md
"""
