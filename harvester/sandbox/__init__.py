"""A stand-in for WeChat's statistics platform: a rehearsal tool, and our tests' opponent.

It shares no code with what calls it, so it cannot share its mistakes either.
"""
