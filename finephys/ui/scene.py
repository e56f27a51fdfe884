"""The Plotly 3D scene: traces and layout made here, moved from frame to frame in the browser.

Plot axes: x right, y depth away from the camera, z up; camera axes (x right, y down, z away) become
(x, z, -y). Design choice: S_detect and S_re-proj, which are 2D, are on the image plane behind the
body, scaled so that a pixel is as wide as what it shows of the body.
"""

import json
from typing import Any

import plotly.graph_objects as go

from finephys.skeleton import JOINTS, LIMBS

STAGES: dict[str, tuple[str, str, bool]] = {
    "detected": ("S_detect", "#d97706", True),
    "data_driven": ("S_dd", "#2563eb", True),
    "physics": ("S_pp", "#059669", True),
    "reprojected": ("S_re-proj", "#db2777", True),
    "fused": ("fused", "#7c3aed", False),
}
"""Stage -> (label, colour, visible at first)."""

FRONT = {"eye": {"x": 0.9, "y": -1.7, "z": 0.45}, "up": {"x": 0, "y": 0, "z": 1}}
"""First camera: in front of the body, a little to the right and above."""

POINTS_PER_LIMB = 3
"""Parent, child, and a gap before the next limb."""

SIDE_BY_SIDE = ("detected", "data_driven", "physics", "reprojected")


def _axis() -> dict[str, Any]:
    return {
        "title": {"text": ""},
        "showticklabels": False,
        "showspikes": False,
        "showbackground": False,
        "zeroline": False,
        "nticks": 6,
    }


def _scene(x: tuple[float, float], y: tuple[float, float]) -> dict[str, Any]:
    return {
        "domain": {"x": x, "y": y},
        "xaxis": _axis(),
        "yaxis": _axis(),
        "zaxis": _axis(),
        "aspectmode": "data",
        "camera": FRONT,
        "dragmode": "turntable",
        "hovermode": False,
    }


def _skeleton(stage: str, scene: str) -> go.Scatter3d:
    name, color, shown = STAGES[stage]
    return go.Scatter3d(
        x=[],
        y=[],
        z=[],
        mode="lines+markers",
        name=name,
        meta=stage,
        scene=scene,
        visible=shown,
        line={"color": _shades(color), "width": 7},
        marker={"color": _shades(color), "size": 2.6},
        hoverinfo="skip",
    )


def _shades(color: str) -> list[str]:
    """Colour of every point of a skeleton's line; left limbs are lighter."""
    red, green, blue = (int(color[index : index + 2], 16) for index in (1, 3, 5))
    light = "#" + "".join(f"{(part + 2 * 255) // 3:02x}" for part in (red, green, blue))
    shades = [light if JOINTS[child].startswith("left") else color for _, child in LIMBS]
    return [shade for shade in shades for _ in range(POINTS_PER_LIMB)]


def _plane(scene: str) -> go.Scatter3d:
    return go.Scatter3d(
        x=[],
        y=[],
        z=[],
        mode="lines",
        name="image plane",
        meta="plane",
        scene=scene,
        line={"color": "#94a3b8", "width": 2},
        hoverinfo="skip",
    )


def _picture() -> go.Mesh3d:
    """The clip's frame on the image plane: a grid whose vertices have the frame's colours."""
    return go.Mesh3d(
        x=[],
        y=[],
        z=[],
        meta="picture",
        scene="scene",
        visible=False,
        opacity=0.8,
        lighting={"ambient": 1, "diffuse": 0, "specular": 0, "fresnel": 0},
        hoverinfo="skip",
    )


def _layout(scenes: dict[str, Any]) -> go.Layout:
    return go.Layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
        uirevision="keep",
        paper_bgcolor="rgba(0,0,0,0)",
        font={"family": "ui-sans-serif, system-ui, sans-serif", "size": 12},
        **scenes,
    )


def together() -> dict[str, Any]:
    """One scene with every skeleton and the image plane, as plain Plotly JSON without data."""
    traces: list[Any] = [_skeleton(stage, "scene") for stage in STAGES]
    traces += [_plane("scene"), _picture()]
    figure = go.Figure(traces, _layout({"scene": _scene((0, 1), (0, 1))}))
    return _plain(figure)


def side_by_side(columns: int) -> dict[str, Any]:
    """Four scenes, one a stage, in 4 columns or 2, as plain Plotly JSON without data."""
    rows = len(SIDE_BY_SIDE) // columns
    traces: list[go.Scatter3d] = []
    scenes: dict[str, Any] = {}
    for index, stage in enumerate(SIDE_BY_SIDE):
        row, column = divmod(index, columns)
        name = "scene" if index == 0 else f"scene{index + 1}"
        x = (column / columns, (column + 1) / columns)
        y = (1 - (row + 1) / rows, 1 - row / rows)
        scenes[name] = _scene(x, y)
        traces.append(_skeleton(stage, name))
        traces[-1].visible = True
        if stage in ("detected", "reprojected"):
            traces.append(_plane(name))
    layout = _layout(scenes)
    layout.annotations = [
        {
            "text": STAGES[stage][0],
            "font": {"color": STAGES[stage][1], "size": 13},
            "xref": "paper",
            "yref": "paper",
            "x": (index % columns + 0.5) / columns,
            "y": 1 - (index // columns) / rows,
            "yanchor": "top",
            "showarrow": False,
        }
        for index, stage in enumerate(SIDE_BY_SIDE)
    ]
    return _plain(go.Figure(traces, layout))


def _plain(figure: go.Figure) -> dict[str, Any]:
    # The Python package's default template is 7 kB of styles this scene does not use.
    figure.update_layout(template="none")
    plain: dict[str, Any] = json.loads(figure.to_json())
    return plain
