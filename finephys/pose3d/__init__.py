"""From 2D joints to a 3D body that obeys mechanics, and back: S_dd, S_pp, fusion and S_re-proj."""
