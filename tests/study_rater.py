"""A rater's browser that does what the page does, through the routes."""

import uuid

from starlette.testclient import TestClient

from study.open_study import OpenStudy
from study.store import run


class Rater:
    """A browser that does what the page does."""

    def __init__(self, client: TestClient, study: OpenStudy) -> None:
        self.client, self.study = client, study
        self.token = ""

    def ask(self, method: str, path: str, body: object = None, status: int = 200):
        answer = self.client.request(
            method,
            f"/s/small/{path}",
            json=({} if body is None else body) if method == "POST" else None,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def enter(self, source: str = "open", **names: str) -> "Rater":
        body = {"source": source, "names": names, "language": "en", "agreed": True}
        self.token = self.ask("POST", "enter", body)["token"]
        return self

    def begin(self) -> "Rater":
        self.ask("POST", "questions", {"answers": {"expertise": "expert", "remarks": "hm"}})
        self.ask("POST", "playback", {"outcome": "ok"})
        return self

    def watch(self, position: int) -> dict:
        page = self.ask("GET", f"pages/{position}?language=en")
        for address in (page["left"], page["right"]):
            assert self.client.get(f"/s/small/{address}").status_code == 200
        self.ask("POST", f"pages/{position}/shown")
        with self.study.store.transaction() as database:  # the waiting, without waiting
            run(database, "update assignments set shown_at = shown_at - 60")
        self.ask("POST", f"pages/{position}/seen")
        return page

    def answer(self, position: int, side: str, dimension: str, score: int, key: str = "") -> dict:
        return {
            "position": position,
            "side": side,
            "dimension": dimension,
            "score": score,
            "seconds": 2.5,
            "key": key or uuid.uuid4().hex,
        }

    def score(self, position: int, score: int = 3) -> None:
        for side in ("left", "right"):
            for dimension in ("text", "overall"):
                self.ask("POST", "answers", self.answer(position, side, dimension, score))

    def go_through(self) -> dict:
        for position in range(self.ask("GET", "session")["pages"]):
            self.watch(position)
            self.score(position)
        return self.ask("POST", "finish")
