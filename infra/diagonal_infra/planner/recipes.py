"""Named plans.

python -m diagonal_infra.plan clip-b32
python -m diagonal_infra.plan clip-l14-336 --training.gpu h100 --training.utilisation 0.3
"""

from diagonal_infra.planner.config import PlanConfig, ScrapePlan, TrainingPlan
from diagonal_infra.planner.flops import ModelPlan


def demo() -> PlanConfig:
    """A first CLIP of one's own: ViT-B/32, 12 M pairs, 128 M samples, one machine."""
    return PlanConfig(
        scrape=ScrapePlan(pairs=12_000_000, cores=16),
        training=TrainingPlan(samples=128e6, gpus=8),
    )


def clip_b32() -> PlanConfig:
    """ViT-B/32 as in the CLIP paper: 400 M pairs, 12.8 B samples."""
    return PlanConfig()


def clip_l14_336() -> PlanConfig:
    """ViT-L/14 as in the CLIP paper: 12.8 B samples at 224 pixels, then one epoch at 336."""
    return PlanConfig(
        # LAION-5B: 5.8 B pictures of 384 pixels in 240 TB; 336 have to be cut from them.
        scrape=ScrapePlan(stored_kilobytes=41.0),
        model=ModelPlan(
            patch_size=14, image_width=1024, image_layers=24, text_width=768, embed_dim=768
        ),
        training=TrainingPlan(gpus=400, last_image_size=336, last_samples=400e6),
    )


PLANS = {"demo": demo, "clip-b32": clip_b32, "clip-l14-336": clip_l14_336}
