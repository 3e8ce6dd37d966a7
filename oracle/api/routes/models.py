"""Which models are served here, and how to make their inputs."""

from __future__ import annotations

from fastapi import APIRouter

from oracle.api.desk import ModelId, TheDesk, problems
from oracle.api.views import view_model, view_model_summary
from oracle.api.wire import ModelOut, ModelsOut
from oracle.encoding import parse_bytes32

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", summary="Models served here", responses=problems(503))
def list_models(desk: TheDesk) -> ModelsOut:
    """Every model this API has the manifest of, with its state on chain."""
    return ModelsOut(models=[view_model_summary(model, desk.registered(model.model_id)) for model in desk.models()])


@router.get("/{model_id}", summary="One model", responses=problems(400, 404, 422, 503))
def show_model(model_id: ModelId, desk: TheDesk) -> ModelOut:
    """Manifest, state on chain, and what its input and output bytes are."""
    model = desk.model(parse_bytes32(model_id, "model_id"))
    return view_model(model, desk.registered(model.model_id))
