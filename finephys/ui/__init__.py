"""The web page: Gradio controls, the stage viewer and the 3D scene.

The only package of finephys that imports gradio or plotly. It calls `Pipeline.stream` and reads
types; it touches no module, tensor, device or weight path.
"""
