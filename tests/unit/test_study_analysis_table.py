"""The contract of the ratings table: what is refused, and that files give back what was written."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.analysis.table import (
    check_choices,
    check_ratings,
    empty_choices,
    empty_ratings,
    main_scores,
    read_choices,
    read_ratings,
    write_table,
)


def ratings() -> pd.DataFrame:
    """Four good rows: a score, one of the other side, an attention item and a repetition."""
    return pd.DataFrame(
        {
            "rater": ["r1"] * 4,
            "item": ["leap", "leap", "check", "leap"],
            "clip": ["a1", "b2", "g0", "a1"],
            "method": ["ours", "base", "gold", "ours"],
            "dimension": ["Text, 文本"] * 4,
            "score": [5, 3, 1, 4],
            "side": ["left", "right", "single", "right"],
            "position": [0, 0, 1, 2],
            "seconds": [12.5, 12.5, np.nan, 9.123456789012345],
            "repeat": [False, False, False, True],
            "gold": [np.nan, np.nan, 1.0, np.nan],
        }
    )


def choices() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rater": ["r1", "r1"],
            "item": ["leap", "turn"],
            "left": ["ours", "base"],
            "right": ["base", "ours"],
            "dimension": ["overall", "overall"],
            "choice": ["left", "tie"],
            "position": [0, 1],
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_files_give_back_the_tables(tmp_path: Path, suffix: str) -> None:
    """Digits of seconds, empty gold, commas and Chinese names must survive the file."""
    table = check_ratings(ratings())
    write_table(table, tmp_path / f"ratings{suffix}")
    pd.testing.assert_frame_equal(read_ratings(tmp_path / f"ratings{suffix}"), table)
    pairs = check_choices(choices())
    write_table(pairs, tmp_path / f"choices{suffix}")
    pd.testing.assert_frame_equal(read_choices(tmp_path / f"choices{suffix}"), pairs)


def test_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """A byte order mark, 5.0 for 5 and TRUE for true are how a spreadsheet saves the table."""
    table = ratings().assign(score=[5.0, 3.0, 1.0, 4.0], repeat=["FALSE"] * 3 + ["TRUE"])
    (tmp_path / "r.csv").write_text(table.to_csv(index=False), encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read_ratings(tmp_path / "r.csv"), check_ratings(ratings()))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("score", 6, r"Row 2, column score: .*6.* a whole number from 1 to 5"),
        ("score", 0, "a whole number from 1 to 5"),
        ("score", 3.5, "a whole number"),
        ("score", "", "a whole number"),
        ("score", "good", "'good'"),
        ("score", True, "a whole number"),
        ("side", "top", "one of left, right, single"),
        ("position", -1, "a whole number from 0"),
        ("seconds", -3.0, "a number from 0, or empty"),
        ("seconds", float("inf"), "a number from 0, or empty"),
        ("repeat", "perhaps", "true or false"),
        ("gold", 9.0, "a number from 1 to 5, or empty"),
        ("rater", "", "text that is not empty"),
        ("method", None, "an empty cell is not accepted; it must be text that is not empty"),
        # Numbers that int() and float() take and nobody means, or the other way round.
        ("score", "\u0663", "a whole number"),
        ("score", "\u2462", "a whole number"),
        ("score", "1_0", "a whole number"),
        ("score", "9" * 5000, "a whole number"),
        pytest.param("score", 10**5000, "thousands of digits is not accepted", id="long"),
        ("score", [3], "a whole number"),
        ("position", 1e300, "a whole number from 0 to 1000000"),
        ("position", "0x1", "a whole number from 0 to 1000000"),
    ],
)
def test_bad_values_name_row_column_and_what_is_accepted(
    column: str, value: object, message: str
) -> None:
    table = ratings().astype(object)
    table.loc[1, column] = value
    with pytest.raises(ValueError, match=message):
        check_ratings(table)


NUMPY = re.compile(r"np\.|int64|float64|str_|dtype|nan\b|None")


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("score", 6),
        ("score", 2.5),
        ("score", None),
        ("position", -1),
        ("side", "top"),
        ("gold", 0.5),
        ("rater", ""),
        ("repeat", "perhaps"),
    ],
)
def test_sentences_have_no_words_of_numpy(
    tmp_path: Path, suffix: str, column: str, value: object
) -> None:
    # Bug: "position np.int64(1)" in a sentence for people.
    table = check_ratings(ratings()).astype(object)
    table.loc[1, column] = value
    for frame in (table, pd.concat([check_ratings(ratings())] * 2)):
        write_table(frame.reset_index(drop=True), tmp_path / f"r{suffix}")
        for read in (
            lambda: read_ratings(tmp_path / f"r{suffix}"),
            lambda frame=frame: check_ratings(frame),
        ):
            with pytest.raises(ValueError, match="Row") as caught:
                read()
            assert not NUMPY.search(str(caught.value)), str(caught.value)


def test_sentences_on_choices_have_no_words_of_numpy() -> None:
    for spoilt in (
        pd.concat([check_choices(choices())] * 2),
        check_choices(choices()).assign(left="a", right="a"),
        check_choices(choices()).assign(position=-1),
    ):
        with pytest.raises(ValueError, match="Row") as caught:
            check_choices(spoilt)
        assert not NUMPY.search(str(caught.value)), str(caught.value)


def test_missing_and_unknown_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"lacks the columns: side \(left, right or single\)"):
        check_ratings(ratings().drop(columns="side"))
    with pytest.raises(ValueError, match="not known: mood"):
        check_ratings(ratings().assign(mood="good"))
    with pytest.raises(ValueError, match="lacks the columns: choice"):
        check_choices(choices().drop(columns="choice"))


def test_a_score_given_twice_is_refused() -> None:
    """Every click kept as an answer would double a rater's weight."""
    twice = pd.concat([ratings(), ratings().iloc[[0]]])
    with pytest.raises(ValueError, match=r"Row 5 .*a second time"):
        check_ratings(twice)
    with pytest.raises(ValueError, match="a second time"):
        check_choices(pd.concat([choices(), choices().iloc[[0]].assign(choice="right")]))


def test_choices_against_itself_or_unknown_are_refused() -> None:
    with pytest.raises(ValueError, match="'ours' against itself"):
        check_choices(choices().assign(right="ours"))
    with pytest.raises(ValueError, match="one of left, right, tie"):
        check_choices(choices().assign(choice="both"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "", "not a comma-separated"),
        ("r.csv", 'a,b\n"1', "not a comma-separated"),
        ("r.json", "{", "not a UTF-8 JSON"),
        ("r.json", '{"rater": 1}', "list of objects"),
        ("r.txt", "x", "must end in .csv or .json"),
        ("r.csv", "rater;item\n1;2\n", "Columns found: rater;item"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_ratings(tmp_path / name)


def test_attention_items_and_repetitions_do_not_measure_methods() -> None:
    kept = main_scores(check_ratings(ratings()))
    assert kept["clip"].tolist() == ["a1", "b2"]


def test_a_study_without_answers_has_empty_tables(tmp_path: Path) -> None:
    write_table(empty_ratings(), tmp_path / "none.csv")
    pd.testing.assert_frame_equal(read_ratings(tmp_path / "none.csv"), empty_ratings())
    assert empty_choices().columns[0] == "rater"
