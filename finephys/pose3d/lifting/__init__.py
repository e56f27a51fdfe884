"""S_dd: in-context lifting of 2D windows to 3D (supplement A.3)."""

from finephys.pose3d.lifting.lifter import Lifter

__all__ = ["Lifter"]
