"""Numbers about generated video, each named for what it is.

One file a metric: what it computes and, for `cinelib score`, its face (`metric.Metric`), which becomes a line
in `evaluation/selection.METRICS`. A bare published name (FVD, LPIPS, CLIP-SIM) appears only when the
published network computed it; any other network is named in brackets. Nothing here imports torch until it
is needed.
"""
