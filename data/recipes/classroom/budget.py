"""The numbers of a training on one accelerator: what ships, and the rehearsal that a processor can run."""

from dataclasses import dataclass

from classroom import architecture, scenes


@dataclass(frozen=True)
class Budget:
    """Times in seconds or shares of the whole; sizes of batches in clips."""

    size: architecture.Size
    shape: scenes.Shape
    seconds: float = 560.0
    reserve: float = 20.0  # for the last measurements and files
    autoencoder: float = 0.3  # share of the time that is left when it begins
    workers: int = 14
    capacity: int = 40_000
    first: int = 1024  # clips without which nothing starts
    held_out: int = 96
    vae_batch: int = 16
    vae_rate: float = 1e-3
    crop: int = 64  # width of the crops, until the last part of the autoencoder's time
    whole: float = 0.7  # share of its time after which they are whole frames
    batch: int = 256
    rate: float = 2e-3
    averages: tuple[float, float] = (0.998, 0.9995)
    begin: int = 2048  # encoded clips with which the transformer begins
    chunk: int = 32  # clips encoded at once
    chunk_steps: int = 12  # steps of the transformer between two chunks
    compile_seconds: float = 75.0  # 0: do not compile
    tune_seconds: float = 15.0  # for trying convolution algorithms
    save_seconds: float = 60.0
    log_steps: int = 50
    half: bool = True  # bfloat16
    pictures: int = 2  # held-out scenes generated at each save, to look back at


NANO = Budget(
    size=architecture.NANO,
    shape=scenes.Shape(17, 64, 112),
)
REHEARSAL = Budget(
    size=architecture.SMOKE,
    shape=scenes.Shape(5, 32, 48),
    seconds=20.0,
    reserve=4.0,
    workers=1,
    capacity=24,
    first=4,
    held_out=4,
    vae_batch=2,
    crop=32,
    batch=4,
    begin=4,
    chunk=4,
    chunk_steps=2,
    compile_seconds=0.0,
    save_seconds=2.0,
    log_steps=10,
    half=False,
)
BUDGETS = {"nano": NANO, "rehearsal": REHEARSAL}
