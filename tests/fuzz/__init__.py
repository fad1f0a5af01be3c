"""Whatever may come from outside is fed in: `python -m tests.fuzz`; `tests/unit/test_fuzz.py` tries a few examples."""
