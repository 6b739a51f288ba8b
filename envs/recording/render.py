"""Pictures of one world of a `World`: as text, or as an RGB array drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.atomic import replacing
from ..sim.state import ENDINGS, ON_TIME, PRESENT
from ..sim.world import World

BAR = 20  # characters
FPS = 2  # slots a second of a film
ROAD_M = 60.0  # of a highway's surroundings that are shown, to either side


def _waits(world: World, b: int) -> NDArray[np.float64]:
    """Seconds of work queued at each expert, at the announced speeds."""
    hosts = world.hosts
    speed = world.params.speed_levels[world.state.providers.speed[b]][hosts]
    seconds: NDArray[np.float64] = world.params.machines.seconds_per_unit[: world.sizes.E] / speed
    return np.asarray(world.state.experts.backlog[b] * seconds)


def _label(world: World, expert: int) -> str:
    if expert < 0:
        return "-"
    names = [*world.scenario.experts, *(f"local {name}" for name in world.scenario.local_experts)]
    return names[expert]


def write(world: World, b: int = 0) -> str:
    """One world as text: queues and prices of the experts, then the users."""
    state, limit = world.state, world.scenario.queue_limit_s
    waits, providers = _waits(world, b), state.providers[b]
    lines = [f"{world.scenario.id}  slot {state.clock.slot[b]} of {world.scenario.episode.slots}", ""]
    for e, name in enumerate(world.scenario.experts):
        p = e % world.sizes.P
        bar = "#" * round(BAR * min(1.0, waits[e] / limit))
        status = "loaded " if state.experts.loaded[b, e] else "loading" if providers.loading[p] == e else "on disk"
        price = world.params.price_levels[providers.price[p]]
        lines.append(f"{name:20s} provider {p}  {status}  price x{price:<5g} queue {waits[e]:5.1f} s |{bar:<{BAR}s}|")
    lines.append("")
    for u, user in enumerate(state.users[b]):
        if user.presence != PRESENT:
            continue
        request = f"{user.done}/{world.params.kinds[user.kind].subtasks} parts" if user.open else "idle"
        ended = ENDINGS[user.ended] + (f" quality {user.quality:.2f}" if user.ended == ON_TIME else "")
        lines.append(
            f"user {u:<3d} {request:14s} placed on {_label(world, user.placed):24s} "
            f"reward {user.reward:6.2f}  {ended if user.ended else ''}".rstrip()
        )
    return "\n".join(lines)


def draw(world: World, b: int = 0) -> NDArray[np.uint8]:
    """One world as a picture: the cell with links coloured by expert, queue bars, prices and the last qualities.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'edge-experts[plot]'") from None
    figure = Figure(figsize=(9.6, 5.4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    cell, queues = figure.subplots(1, 2, width_ratios=(1.15, 1))
    map_ = colormaps["tab10" if world.sizes.E <= 10 else "tab20"]

    def colors(expert: int) -> Any:
        return map_(int(expert) % map_.N)

    _draw_cell(cell, world, b, colors)
    _draw_queues(queues, world, b, colors)
    figure.suptitle(
        f"{world.scenario.id}, slot {world.state.clock.slot[b]} of {world.scenario.episode.slots}", fontsize=11
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def open_screen(fps: float) -> Window | Terminal:
    """A window that shows `fps` pictures a second at most; text where there is no display.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'edge-experts[plot]'") from None
    if pyplot.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        return Terminal()
    return Window(pyplot, fps)


class Terminal:
    """Prints one world after another as text."""

    def show(self, world: World) -> None:
        """Print a world."""
        print(write(world), end="\n\n")

    def close(self) -> None:
        """Nothing to release."""


class Window:
    """A window that shows one picture after another."""

    def __init__(self, pyplot: Any, fps: float) -> None:
        self._plot, self._pause_s = pyplot, 1.0 / fps
        self._image: Any = None

    def show(self, world: World) -> None:
        """Draw a world."""
        picture = draw(world)
        if self._image is None:
            height, width = picture.shape[:2]
            self.figure: Any = self._plot.figure(figsize=(width / 100, height / 100), dpi=100)
            axes = self.figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            self._image = axes.imshow(picture)
        self._image.set_data(picture)
        self._plot.pause(self._pause_s)

    def close(self) -> None:
        """Close it."""
        if self._image is not None:
            self._plot.close(self.figure)


def _draw_cell(axes: Any, world: World, b: int, colors: Any) -> None:
    users, providers = world.state.users[b], world.state.providers[b]
    here = users.presence == PRESENT
    for user in users[here]:
        if 0 <= user.placed < world.sizes.E:
            serving = world.constants.serving
            host = providers[user.serving if serving else user.placed % world.sizes.P]
            axes.plot([user.x_m, host.x_m], [user.y_m, host.y_m], color=colors(user.placed), lw=2, alpha=0.8, zorder=1)
    face = [colors(e) if 0 <= e < world.sizes.E else "white" for e in users.placed[here]]
    edge = ["black" if held else "0.7" for held in users.open[here]]
    axes.scatter(users.x_m[here], users.y_m[here], s=70, c=face, edgecolors=edge, linewidths=1.5, zorder=2)
    done = here & (users.ended == ON_TIME)
    for user in users[done]:
        axes.annotate(
            f"{user.quality:.2f}", (user.x_m, user.y_m), xytext=(6, 5), textcoords="offset points", fontsize=8
        )
    axes.scatter(providers.x_m, providers.y_m, s=190, marker="^", c="0.25", zorder=3)
    for p, provider in enumerate(providers):
        axes.annotate(f"P{p}", (provider.x_m, provider.y_m), xytext=(-4, -18), textcoords="offset points", fontsize=9)
    side = world.scenario.mobility.area_m
    highway = world.scenario.mobility.model == "highway"
    axes.set(
        xlim=(0, side),
        ylim=(side / 2 - ROAD_M, side / 2 + ROAD_M) if highway else (0, side),
        aspect="auto" if highway else "equal",
        xlabel="metres",
        title="users and the provider of their part\n(numbers: quality of requests just composed)",
    )
    axes.title.set_fontsize(9)


def _draw_queues(axes: Any, world: World, b: int, colors: Any) -> None:
    E, waits, providers = world.sizes.E, _waits(world, b), world.state.providers[b]
    loaded = world.state.experts.loaded[b]
    axes.barh(range(E), waits, color=[colors(e) if loaded[e] else "0.85" for e in range(E)])
    limit = world.scenario.queue_limit_s
    axes.axvline(limit, color="0.4", ls=":", lw=1)
    labels = []
    for e, name in enumerate(world.scenario.experts):
        price = world.params.price_levels[providers.price[e % world.sizes.P]]
        between = "\n" if E <= 10 else ", "
        labels.append(f"{name}{between}P{e % world.sizes.P}, price x{price:g}" + ("" if loaded[e] else ", not loaded"))
    axes.set_yticks(range(E), labels, fontsize=7 if E <= 10 else 6)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.6 * limit), xlabel="queued work, seconds (dotted: a longer queue refuses)")
    axes.xaxis.label.set_fontsize(8)


def save_frames(frames: list[NDArray[np.uint8]], path: Path) -> None:
    """Write pictures of the same size as one .png, or as a .gif or .mp4 that shows two of them a second.

    Raises:
        ImportError: if Pillow, or for .mp4 imageio, is not installed.
    """
    with replacing(path) as part:
        if path.suffix == ".mp4":
            import imageio.v3 as imageio

            # even sizes, as the codec asks
            even = [frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames]
            imageio.imwrite(part, np.stack(even), fps=FPS, codec="libx264", macro_block_size=2, plugin="FFMPEG")
            return
        from PIL import Image

        first, *others = (Image.fromarray(frame) for frame in frames)
        several = {"save_all": True, "append_images": others, "duration": 1000 // FPS, "loop": 0} if others else {}
        first.save(part, format=path.suffix[1:].upper(), **several)
