"""What a LoRA training takes before it is paid for: weights, cache, memory, operations, time.

`parts` counts weights on the meta device, `step` says what one step computes on, `operations` and `memory`
reckon its cost, `rehearsal` runs encoders and sampling on shapes alone, `phases` says when a GPU is fullest,
`storage` what lies on disk, `hardware` what a GPU has, `outlook` puts them together.
"""
