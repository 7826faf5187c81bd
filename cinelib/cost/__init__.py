"""What a LoRA training takes before it is paid for: weights, disk, memory, operations, time."""
