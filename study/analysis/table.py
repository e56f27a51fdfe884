"""The table every analysis reads: a row for each score, and one for each pairwise choice."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from study.files import write_atomically

LOWEST, HIGHEST = 1, 5
LAST_POSITION = 1_000_000
SIDES = ("left", "right", "single")
CHOICES = ("left", "right", "tie")

RATING_COLUMNS = {
    "rater": "the rater's opaque id",
    "item": "the content that all methods show, e.g. class and source clip",
    "clip": "the opaque id of the clip that was seen",
    "method": "the method that made the clip",
    "dimension": "what was scored",
    "score": f"a whole number from {LOWEST} to {HIGHEST}",
    "side": "left, right or single",
    "position": "index of the page in the rater's order, from 0",
    "seconds": "time on the page when the score was given; empty when it was not measured",
    "repeat": "true for a repeated presentation",
    "gold": "expected score of an attention item; empty otherwise",
}
CHOICE_COLUMNS = {
    "rater": "the rater's opaque id",
    "item": "the content that both methods show",
    "left": "the method shown on the left",
    "right": "the method shown on the right",
    "dimension": "what was asked",
    "choice": "left, right or tie",
    "position": "index of the page in the rater's order, from 0",
}
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_TOO_LARGE = 1e300
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class NotComputableError(ValueError):
    """A statistic that this study's data cannot give; the message says why."""


def check_ratings(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the ratings in their columns' order and types, or says what is wrong.

    Args:
        frame: A row for each score; further columns are refused.

    Returns:
        A new frame: text columns str, score and position int, seconds and gold float with NaN for
        unknown, repeat bool; index 0..n-1.

    Raises:
        ValueError: If a column is missing or unknown, a value is out of range, or one page, side
            and dimension holds two scores of one rater. Names the first offending row.
    """
    _check_columns(frame, RATING_COLUMNS, "ratings")
    table = frame.loc[:, list(RATING_COLUMNS)].reset_index(drop=True)
    for column in ("rater", "item", "clip", "method", "dimension"):
        table[column] = _text(table[column], column)
    table["score"] = _whole(table["score"], "score", LOWEST, HIGHEST)
    table["side"] = _one_of(table["side"], "side", SIDES)
    table["position"] = _whole(table["position"], "position", 0, LAST_POSITION)
    table["seconds"] = _number_or_empty(table["seconds"], "seconds", 0.0, None)
    table["repeat"] = _boolean(table["repeat"], "repeat")
    table["gold"] = _number_or_empty(table["gold"], "gold", LOWEST, HIGHEST)
    key = ["rater", "position", "side", "dimension"]
    twice = table.duplicated(key)
    if twice.any():
        row = int(np.argmax(twice.to_numpy()))
        what = ", ".join(f"{name} {_shown(table.at[row, name])}" for name in key)
        raise ValueError(
            f"Row {row + 1} of the ratings scores {what} a second time; a rater gives one score "
            "for each page, side and dimension. Keep the final one."
        )
    return table


def check_choices(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the pairwise choices in their columns' order and types, or says what is wrong.

    Args:
        frame: A row for each choice; further columns are refused.

    Returns:
        A new frame: text columns str, position int; index 0..n-1.

    Raises:
        ValueError: If a column is missing or unknown, a choice is not left, right or tie, a method
            meets itself, or one page and dimension holds two choices of one rater.
    """
    _check_columns(frame, CHOICE_COLUMNS, "choices")
    table = frame.loc[:, list(CHOICE_COLUMNS)].reset_index(drop=True)
    for column in ("rater", "item", "left", "right", "dimension"):
        table[column] = _text(table[column], column)
    table["choice"] = _one_of(table["choice"], "choice", CHOICES)
    table["position"] = _whole(table["position"], "position", 0, LAST_POSITION)
    same = (table["left"] == table["right"]).to_numpy()
    if same.any():
        row = int(np.argmax(same))
        raise ValueError(
            f"Row {row + 1} of the choices shows {_shown(table.at[row, 'left'])} against itself; "
            "left and right must be two methods."
        )
    twice = table.duplicated(["rater", "position", "dimension"])
    if twice.any():
        row = int(np.argmax(twice.to_numpy()))
        raise ValueError(
            f"Row {row + 1} of the choices answers page {_shown(table.at[row, 'position'])} of "
            f"rater {_shown(table.at[row, 'rater'])} a second time; keep the final answer."
        )
    return table


def empty_ratings() -> pd.DataFrame:
    """Returns a ratings table without rows."""
    return check_ratings(pd.DataFrame({name: [] for name in RATING_COLUMNS}))


def empty_choices() -> pd.DataFrame:
    """Returns a choices table without rows."""
    return check_choices(pd.DataFrame({name: [] for name in CHOICE_COLUMNS}))


def without_attention(ratings: pd.DataFrame) -> pd.DataFrame:
    """Returns the scores of pages that are not attention items.

    A page with an expected score in one dimension is an attention page in all of them.
    """
    pages = ratings["gold"].notna().groupby([ratings["rater"], ratings["position"]])
    return ratings[~pages.transform("any")].reset_index(drop=True)


def main_scores(ratings: pd.DataFrame) -> pd.DataFrame:
    """Returns the scores that measure methods: neither attention items nor repetitions."""
    rows = without_attention(ratings)
    return rows[~rows["repeat"]].reset_index(drop=True)


def read_ratings(path: Path) -> pd.DataFrame:
    """Reads and checks a ratings table.

    Args:
        path: A `.csv` file with a header, or a `.json` file holding a list of objects.

    Raises:
        ValueError: If the file is neither, cannot be parsed, or `check_ratings` refuses it.
    """
    return check_ratings(_read(path))


def read_choices(path: Path) -> pd.DataFrame:
    """Reads and checks a table of choices; formats and errors as in `read_ratings`."""
    return check_choices(_read(path))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV or JSON, by the path's suffix, so that reading gives it back.

    Args:
        table: Any frame; a missing number is an empty cell in CSV and null in JSON.
        path: Ends in `.csv` or `.json`.

    Raises:
        ValueError: If the suffix is neither.
    """
    if path.suffix == ".csv":
        write_atomically(path, table.to_csv(index=False, lineterminator="\n"))
    elif path.suffix == ".json":
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        write_atomically(path, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    else:
        raise ValueError(f"Cannot write {path.name!r}: the name must end in .csv or .json.")


def _read(path: Path) -> pd.DataFrame:
    """Returns the cells of a CSV file as text, or the values of a JSON file."""
    if path.suffix == ".csv":
        try:
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path.name} is not a comma-separated UTF-8 table with a header line: {error}."
            ) from error
    if path.suffix == ".json":
        try:
            rows = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:  # also a number of 5000 digits
            raise ValueError(f"{path.name} is not a UTF-8 JSON file: {error}.") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{path.name} must hold a list of objects, one for each row.")
        return pd.DataFrame(rows, dtype=object)
    raise ValueError(f"Cannot read {path.name!r}: the name must end in .csv or .json.")


def _check_columns(frame: pd.DataFrame, wanted: dict[str, str], table: str) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        needed = "; ".join(f"{name} ({wanted[name]})" for name in missing)
        raise ValueError(
            f"The {table} table lacks the columns: {needed}. Columns found: {found}. Add them "
            "under these names."
        )
    unknown = [str(name) for name in frame.columns if name not in wanted]
    if unknown:
        raise ValueError(
            f"The {table} table has columns that are not known: {', '.join(unknown)}. Accepted: "
            f"{', '.join(wanted)}. Remove or rename them."
        )


def _refuse(values: pd.Series, bad: np.ndarray, column: str, accepted: str) -> None:
    """Names the first bad row of a column, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"Row {row + 1}, column {column}: {_shown(values.iloc[row])} is not accepted; it must "
            f"be {accepted}. Rows with this fault: {int(bad.sum())}."
        )


def _shown(value: object) -> str:
    """Returns a cell as a person reads it, without the type's name that numpy puts around it."""
    plain = value.item() if isinstance(value, np.generic) else value
    if _is_empty(plain):
        return "an empty cell"
    try:
        text = f"{plain:.15g}" if isinstance(plain, float) else str(plain)
    except ValueError:
        return "a number of thousands of digits"
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return repr(text) if isinstance(plain, str) else text


def _text(values: pd.Series, column: str) -> pd.Series:
    text = values.map(lambda value: "" if _is_empty(value) else str(value)).astype(object)
    _refuse(values, (text.str.strip() == "").to_numpy(bool), column, "text that is not empty")
    return text.astype(str)


def _one_of(values: pd.Series, column: str, accepted: tuple[str, ...]) -> pd.Series:
    text = values.map(lambda value: "" if _is_empty(value) else str(value))
    bad = ~text.isin(accepted).to_numpy(bool)
    _refuse(values, bad, column, "one of " + ", ".join(accepted))
    return text.astype(str)


def _numbers(values: pd.Series) -> np.ndarray:
    """Returns the values as floats, NaN where a value is not a finite number."""
    numbers = np.array([_number(value) for value in values], float)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _number(value: object) -> float:
    """Returns one cell as a float; NaN for a truth value, a list or any other text."""
    if isinstance(value, bool | np.bool_):
        return np.nan
    if isinstance(value, str):  # float() takes "1_000" and digits of every script too
        return float(value) if _FLOAT.fullmatch(value.strip()) else np.nan
    if isinstance(value, int):  # of any length; float() takes no more than 308 digits
        return float(value) if abs(value) < _TOO_LARGE else np.nan
    return float(value) if isinstance(value, float | np.number) else np.nan


def _outside(numbers: np.ndarray, low: float, high: float | None) -> np.ndarray:
    upper: np.ndarray = numbers > high if high is not None else np.zeros(numbers.shape, bool)
    outside: np.ndarray = (numbers < low) | upper
    return outside


def _whole(values: pd.Series, column: str, low: int, high: int) -> pd.Series:
    numbers = _numbers(values)
    bad = np.isnan(numbers) | _outside(numbers, low, high)
    bad |= np.where(bad, 0.0, numbers) % 1 != 0
    _refuse(values, bad, column, f"a whole number from {low} to {high}")
    return pd.Series(numbers.astype(int), index=values.index)


def _number_or_empty(values: pd.Series, column: str, low: float, high: float | None) -> pd.Series:
    numbers = _numbers(values)
    empty = values.map(_is_empty).to_numpy(bool)
    bad = ~empty & (np.isnan(numbers) | _outside(numbers, low, high))
    limit = f"a number from {low:g}" + (f" to {high:g}" if high is not None else "")
    _refuse(values, bad, column, limit + ", or empty")
    return pd.Series(numbers, index=values.index)


def _boolean(values: pd.Series, column: str) -> pd.Series:
    truth = values.map(lambda value: _TRUTH.get(str(value).strip().lower()))
    _refuse(values, truth.isna().to_numpy(bool), column, "true or false")
    return truth.astype(bool)


def _is_empty(value: object) -> bool:
    if value is None or (isinstance(value, str) and value.strip() == ""):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))
