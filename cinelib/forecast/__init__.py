"""What a LoRA training takes before it is paid for: weights, cache, memory, operations, time.

`parts` counts weights on the meta device, `step` says what one step computes on, `operations` and `memory`
reckon its cost, `storage` the cache on disk, `hardware` what a GPU has, `outlook` puts them together.
"""
