"""Moving the camera: a named movement, or one of six axes."""

from __future__ import annotations

from relayhub_kling.refusal import number, one_of, refuse

MOVEMENTS = ("simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")
AXES = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
FIELD = "camera_control"


def camera_control(value: object) -> dict[str, object]:
    """Raises ``ClientError``."""
    if not isinstance(value, dict) or not value.keys() <= {"type", "config"}:
        refuse(FIELD, "it must be an object of type and config.")
    kind = one_of(FIELD, value.get("type"), MOVEMENTS)
    config = value.get("config")
    if kind != "simple":
        if config is not None:
            refuse(FIELD, "only the type simple has a config.")
        return {"type": kind}
    if not isinstance(config, dict) or not config.keys() <= set(AXES):
        refuse(FIELD, f"its config must be an object of {', '.join(AXES)}.")
    moves = {axis: number(FIELD, amount, -10, 10) for axis, amount in config.items()}
    if sum(amount != 0 for amount in moves.values()) != 1:
        refuse(FIELD, "its config must have exactly one value that is not 0.")
    return {"type": kind, "config": moves}
