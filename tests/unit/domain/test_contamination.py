"""When a prompt was seen in an evaluation, in whatever script and form it is written."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from domain.contamination import Seen
from domain.dataset_recipe import Holdout
from domain.sameness import prompt_key
from tests.builders import a_pair

MANY = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
FRENCH = "Où l\u2019élève a-t-il appris à préparer la crème brûlée ?"
HINDI = "भारत की राजधानी क्या है और वहाँ कितने लोग रहते हैं?"
CHINESE = "小明有三个苹果，吃了一个，又买了两个，现在他一共有几个苹果？"
JAPANESE = "太郎は東京駅から新宿駅まで電車で行き、そこから公園まで歩きました。"
THAI = "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทยตั้งแต่เมื่อไร และใครเป็นผู้ก่อตั้ง"
KHMER = "រាជធានីភ្នំពេញស្ថិតនៅក្នុងប្រទេសកម្ពុជា ហើយមានប្រជាជនច្រើនជាងគេ"


def overlap(task: str, prompt: str) -> bool:
    return Seen.of([Holdout("tasks", (task,))]).overlaps(a_pair(prompt=prompt))


@pytest.mark.parametrize(
    ("task", "prompt", "overlaps"),
    [
        (MANY, f"Say: {MANY.upper()}!", True),
        (f"Now, {MANY}.", MANY, True),
        (MANY, " ".join(MANY.split()[:12]), False),
        (" ".join(MANY.split()[:9]), f"Well, {MANY}?", True),
        (" ".join(MANY.split()[:9]), " ".join(MANY.split()[:8]), False),
        ("Which city?", "which, city", True),
        ("Which city?", "Which city is it?", False),
        ("🙂", "!?", False),
    ],
)
def test_a_prompt_overlaps_with_the_same_words_or_a_long_run_of_them(task: str, prompt: str, overlaps: bool) -> None:
    assert overlap(task, prompt) is overlaps


@pytest.mark.parametrize("text", [FRENCH, HINDI, JAPANESE, THAI, "한국의 수도는 어디입니까"])
@pytest.mark.parametrize("form", ["NFD", "NFKD"])
def test_the_same_text_overlaps_in_whatever_form_unicode_has_for_it(text: str, form: str) -> None:
    other = normalize(form, text)  # type: ignore[arg-type]
    assert overlap(text, other)
    assert overlap(other, text)
    if form == "NFD":
        assert prompt_key(a_pair(prompt=text).prompt) == prompt_key(a_pair(prompt=other).prompt)


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        ("Ｗｈｉｃｈ　ｃｉｔｙ？", "which city"),
        ("ﾄｳｷｮｳ", "トウキョウ"),
        ("co\u00adoperate", "cooperate"),
        ("I \u2764\ufe0f it", "I \u2764 it"),
        ("ประเทศ\u200bไทย", "ประเทศไทย"),
    ],
)
def test_widths_and_signs_that_nobody_sees_make_no_difference(task: str, prompt: str) -> None:
    assert overlap(task, prompt)


@pytest.mark.parametrize("task", [CHINESE, JAPANESE, THAI, KHMER])
def test_a_task_is_found_in_a_longer_prompt_where_words_have_no_spaces(task: str) -> None:
    assert overlap(task, f"{task[:5]}!{task.rstrip('。？')}{task[:7]}")


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        (CHINESE, "请问：小明有三个苹果，他的妹妹有几个？"),
        (CHINESE, "什么？"),
        (
            "请教インターネットセキュリティとは何ですか。簡単に説明してください。",
            "インターネットセキュリティの本を勧めて",
        ),
        (THAI, "ประเทศไทยมีกี่จังหวัด"),
        (HINDI, "भारत की राजधानी क्या है?"),
    ],
)
def test_a_few_words_in_common_are_no_overlap_in_any_script(task: str, prompt: str) -> None:
    assert not overlap(task, prompt)


def test_thirteen_han_characters_or_as_many_words_of_letters_are_a_long_run() -> None:
    han, thai = CHINESE.replace("，", ""), THAI.replace(" ", "")
    assert overlap(han, f"问{han[5:18]}吗")
    assert not overlap(han, f"问{han[5:17]}吗")
    assert overlap(thai, f"x {thai[3:55]} x")
    assert not overlap(thai, f"x {thai[3:54]} x")
