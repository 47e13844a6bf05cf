from dataclasses import replace

import pytest

from diagonal_infra.planner.flops import ModelPlan, forward_flops, gpu_hours, training_flops

B32 = ModelPlan()
B16 = ModelPlan(patch_size=16)
L14 = ModelPlan(patch_size=14, image_width=1024, image_layers=24, text_width=768, embed_dim=768)
L14_336 = replace(L14, image_size=336)
A100_TERA_FLOPS, OPEN_CLIP_UTILISATION = 312, 0.12


@pytest.mark.parametrize(
    ("model", "giga_flops"), [(B32, 14.78), (B16, 41.09), (L14, 175.33), (L14_336, 395.22)]
)
def test_the_work_is_that_of_open_clips_table(model: ModelPlan, giga_flops: float) -> None:
    assert forward_flops(model) / 1e9 == pytest.approx(giga_flops, rel=1e-3)


@pytest.mark.parametrize(("model", "hours"), [(B32, 4_600), (B16, 10_700), (L14, 50_800)])
def test_one_utilisation_gives_the_gpu_hours_of_open_clips_runs_within_a_tenth(
    model: ModelPlan, hours: float
) -> None:
    """Published: 12.8 B samples of LAION-400M on A100s."""
    reckoned = gpu_hours(12.8e9, training_flops(model), A100_TERA_FLOPS, OPEN_CLIP_UTILISATION)
    assert reckoned == pytest.approx(hours, rel=0.10)


def test_a_size_that_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--model\.image-size 225"):
        ModelPlan(image_size=225)
