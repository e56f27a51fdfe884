"""What a generator reads: the clip's square canvas, limb heatmaps, OpenPose pictures."""
