"""Results of a finished rating study: one question a module, one tidy table of scores in.

Nothing here knows the study's server. Statistics libraries are imported in the functions that
need them, so that importing `study` stays light.
"""
