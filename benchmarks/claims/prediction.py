"""What CLIP's authors tried first: predicting the caption's words, or the caption, from the image.

    words      image ─► encoder ─► linear ─► log-probabilities of the vocabulary
               loss: mean over the words of the caption, each counted once (Joulin et al., 2016)
    captions   image ─► encoder ─► added to each token of a causal transformer ─► the next token

The image encoder is the one of the contrastive arm, with its projection; data, order, augmentation,
optimizer and schedule are those of its run. The vocabulary is the tokens of the training captions.

Shape suffixes: B samples, N pictures, C class names, T tokens, K tokens that count, V vocabulary, D
width of the image encoder's output, W width of the decoder.
"""

from collections.abc import Sequence
from contextlib import closing

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claims.exam import Exam, judge
from diagonal_train.augment import prepare_images
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.models import VOCABULARY_SIZE, build_model, build_tokenizer
from diagonal_train.stream import dataloader
from diagonal_train.streaming.tokenize import ClipTokenizer, Tokenizer
from diagonal_train.updating.lr_schedule import lr_at
from diagonal_train.updating.optimizer import build_optimizer, set_lr

WIDTH, HEADS, LAYERS = 128, 2, 1
"""Of the decoder; the contrastive arm's text encoder has width 64, one head and one layer."""
SEQUENCES = 2048
"""Read at once when names are scored."""


class Vocabulary:
    """The tokens of some captions, numbered anew in their order; others become padding."""

    def __init__(self, tokenizer: ClipTokenizer | Tokenizer, captions: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        ids = torch.cat([torch.zeros(1).long(), tokenizer(list(captions)).flatten()]).unique()
        self._number_of = torch.zeros(VOCABULARY_SIZE, dtype=torch.int64)
        self._number_of[ids] = torch.arange(len(ids))
        self.size = len(ids)

    def numbers(self, tokens_BT: Tensor) -> Tensor:
        """CLIP's ids as numbers below `size`; the end token is the highest."""
        return self._number_of[tokens_BT]

    def read(self, names: Sequence[str]) -> Tensor:
        """Names as numbers, C×T."""
        return self.numbers(self._tokenizer(list(names)))


class Predictor(nn.Module):
    """An image encoder and the vocabulary that something is predicted in."""

    judges_all = True

    def __init__(self, encoder: nn.Module, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.encoder = encoder
        self.vocabulary = vocabulary

    def features(self, images_NCHW: Tensor) -> Tensor:
        """The image encoder's output, N×D."""
        return self.encoder(images_NCHW)

    def loss(self, images_BCHW: Tensor, numbers_BT: Tensor) -> Tensor:
        """To be minimised."""
        raise NotImplementedError

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        """How well each name fits each picture, N×C."""
        raise NotImplementedError


class WordPredictor(Predictor):
    """Predicts which words stand in the caption, whatever their order."""

    def __init__(self, encoder: nn.Module, embed_dim: int, vocabulary: Vocabulary) -> None:
        super().__init__(encoder, vocabulary)
        self.head = nn.Linear(embed_dim, vocabulary.size)

    def loss(self, images_BCHW: Tensor, numbers_BT: Tensor) -> Tensor:
        """Cross-entropy with the caption's words, all alike."""
        log_p_BV = self.head(self.features(images_BCHW)).log_softmax(1)
        return -(word_shares(numbers_BT, self.vocabulary.size) * log_p_BV).sum(1).mean()

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        """Mean log-probability of the name's words."""
        shares_CV = word_shares(self.vocabulary.read(names), self.vocabulary.size)
        return self.head(features_ND).log_softmax(1) @ shares_CV.T


def word_shares(numbers_BT: Tensor, size: int) -> Tensor:
    """Equal shares for the words of each text, which add up to 1, B×V; start and end are none."""
    end_B1 = numbers_BT.argmax(1, keepdim=True)
    place_T = torch.arange(numbers_BT.shape[1])
    inside_BT = (place_T > 0) & (place_T < end_B1)
    shares_BV = torch.zeros(len(numbers_BT), size)
    shares_BV.scatter_reduce_(1, numbers_BT, inside_BT.float(), "amax")
    return shares_BV / shares_BV.sum(1, keepdim=True).clamp(min=1)


class CaptionPredictor(Predictor):
    """Predicts each token of the caption from the image and the tokens before."""

    judges_all = False

    def __init__(
        self, encoder: nn.Module, embed_dim: int, vocabulary: Vocabulary, length: int
    ) -> None:
        super().__init__(encoder, vocabulary)
        self.image_projection = nn.Linear(embed_dim, WIDTH)
        self.token_embedding = nn.Embedding(vocabulary.size, WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(length, WIDTH))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, vocabulary.size)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)

    def loss(self, images_BCHW: Tensor, numbers_BT: Tensor) -> Tensor:
        """Cross-entropy of the next token, mean over the tokens of the batch."""
        numbers_BT = numbers_BT[:, : int(numbers_BT.argmax(1).max()) + 1]
        count = numbers_BT.argmax(1).sum()
        return -self.log_likelihood(self.features(images_BCHW), numbers_BT).sum() / count

    def log_likelihood(self, features_BD: Tensor, numbers_BT: Tensor) -> Tensor:
        """Of each text behind its start token, its end token included, B."""
        x_BTW = self.token_embedding(numbers_BT[:, :-1])
        length = x_BTW.shape[1]
        x_BTW = x_BTW + self.positional_embedding[:length]
        x_BTW = x_BTW + self.image_projection(features_BD)[:, None]
        hidden_TT = torch.ones(length, length, dtype=torch.bool).triu(1)
        for block in self.blocks:
            x_BTW = block(x_BTW, src_mask=hidden_TT)
        counted_BT = torch.arange(length) < numbers_BT.argmax(1, keepdim=True)
        logits_KV = self.head(self.norm(x_BTW[counted_BT]))
        cost_BT = torch.zeros(counted_BT.shape)
        cost_BT[counted_BT] = F.cross_entropy(
            logits_KV, numbers_BT[:, 1:][counted_BT], reduction="none"
        )
        return -cost_BT.sum(1)

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        """Log-likelihood of the name as a caption."""
        numbers_CT = self.vocabulary.read(names)
        ends_C = numbers_CT.argmax(1)
        scores_NC = torch.empty(len(features_ND), len(names))
        # Names of one length at a time: none is read behind its end.
        for end in ends_C.unique().tolist():
            chosen = (ends_C == end).nonzero().flatten()
            texts_CT = numbers_CT[chosen, : end + 1]
            rows = max(1, SEQUENCES // len(chosen))
            for start in range(0, len(features_ND), rows):
                part_ND = features_ND[start : start + rows]
                pairs = part_ND.repeat_interleave(len(chosen), 0), texts_CT.repeat(len(part_ND), 1)
                found = self.log_likelihood(*pairs).view(len(part_ND), -1)
                scores_NC[start : start + rows, chosen] = found
        return scores_NC


def build_predictor(config: TrainConfig, captions: Sequence[str], *, whole: bool) -> Predictor:
    """The model with fresh weights; `whole` predicts captions and not just their words."""
    torch.manual_seed(config.seed)
    encoder = build_model(config.model).clip.visual
    vocabulary = Vocabulary(build_tokenizer(config.model), captions)
    width, length = config.model.embed_dim, config.model.text.context_length
    if whole:
        return CaptionPredictor(encoder, width, vocabulary, length)
    return WordPredictor(encoder, width, vocabulary)


def train_predictor(
    predictor: Predictor, config: TrainConfig, exam: Exam
) -> list[dict[str, float]]:
    """Train, and judge wherever the contrastive run has its checkpoints."""
    optimizer = build_optimizer(predictor, config.optimizer)
    parameters = list(predictor.parameters())
    points = []
    with closing(dataloader(config.stream_config, num_workers=0).take(config.total_steps)) as data:
        for step, batch in enumerate(data):
            set_lr(optimizer, lr_at(step, config=config.optimizer, total_steps=config.total_steps))
            images_BCHW = prepare_images(
                batch.images,
                batch.noise,
                config.augment,
                mean=config.model.mean,
                std=config.model.std,
            )
            loss = predictor.loss(images_BCHW, predictor.vocabulary.numbers(batch.tokens))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(
                parameters, config.optimizer.clip_grad_norm or torch.inf, error_if_nonfinite=True
            )
            optimizer.step()
            if (step + 1) % config.checkpoint.every_steps == 0 or step + 1 == config.total_steps:
                seen = (step + 1) * config.global_batch_size
                predictor.eval()
                points.append({"samples_seen": seen, **judge(predictor, exam)})
                predictor.train()
    return points
