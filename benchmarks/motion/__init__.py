"""How good are S_dd, S_pp, their fusion and S_re-proj, against a frozen reference?"""
