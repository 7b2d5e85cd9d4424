"""Tasks about an image: a question, these fields, or one of these labels."""

from typing import Annotated, Unpack

from pydantic import Field

from tierqueue.tasks.kinds.classify import Classification, Labels, Share, choice_of
from tierqueue.tasks.kinds.classify import output_of as one_of_the_labels
from tierqueue.tasks.kinds.extract import FieldName, FieldType
from tierqueue.tasks.kinds.extract import output_of as the_fields
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.image import Image
from tierqueue.tasks.submission.prompt import Prompt


@item_task("tierqueue.ask_image", output=None, output_limit=1024)
def ask_image(
    image: Image,
    question: Annotated[str, Field(min_length=1)],
    **_demands: Unpack[Demands],
) -> Prompt:
    """Answer ``question`` from what ``image`` shows; the output is ``{"text": …}``."""
    return Prompt(
        system="You answer from what the image shows alone; say so where it does not show it.",
        prefix="",
        question=question,
        images=[image],
    )


@item_task("tierqueue.extract_image", output=the_fields, output_limit=512)
def extract_image(
    image: Image,
    fields: Annotated[dict[FieldName, FieldType], Field(min_length=1, max_length=100)],
    instructions: str = "",
    **_demands: Unpack[Demands],
) -> Prompt:
    """Fill ``fields`` (name -> string, number, integer or boolean) from what ``image`` shows.

    The answer has exactly these fields, each ``null`` where the image does not show it.
    """
    rules = f"{instructions}\n\n" if instructions else ""
    asked = "\n".join(f"- {name} ({kind})" for name, kind in fields.items())
    return Prompt(
        system="You read images. Give only what the image shows; null where it does not show it.",
        prefix=f"{rules}Fields:\n{asked}\n",
        question="Fill in the fields from the image.",
        images=[image],
    )


@item_task(
    "tierqueue.classify_image",
    output=one_of_the_labels,
    answer_model=Classification,
    output_limit=64,
)
def classify_image(
    image: Image,
    labels: Labels,
    instructions: str = "",
    min_confidence: Share = 0.0,
    **_demands: Unpack[Demands],
) -> Prompt:
    """Give ``image`` one of ``labels``; the answer is ``{"label": …, "confidence": 0…1}``.

    Below ``min_confidence`` the next tier is asked.
    """
    return Prompt(
        system='Answer with the label that fits the image best, as {"label":"..."}.',
        prefix=choice_of(labels, instructions),
        question="Which label fits the image?",
        images=[image],
    )
