"""The report as a page and as Markdown, as readers see it: in a browser, on a phone, in
the dark; and what a student's program printed stays text in both."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.course import ROOT
from grader.grading.result import CheckResult, Milestone, Result, StageResult
from grader.harness.transcript import Line, Transcript
from grader.lessons.lesson import Part
from grader.report import html, markdown
from grader.report.picture import picture
from grader.report.timeline import timeline
from grader.tests import programs
from grader.tests.conftest import run_grader

Submit = Callable[[int, str | bytes | Path], Path]

BROWSERS = ("/usr/bin/chromium", "/usr/bin/google-chrome")

# All of this would do something in a page or in Markdown if it were not text; URL is a
# server that counts requests.
HOSTILE = (
    '</pre></details><script>document.title="no"</script>'
    '<img src="URL/img" onerror="document.title=1"><link rel=stylesheet href="URL/css">'
    '<iframe src="URL/frame"></iframe><svg onload="document.title=2"></svg>'
    "<style>@import url(URL/import)</style>\n````\n# no\n![](URL/md)\n"
    "\x1b[31m\n::error::no\n{{ 7 * 7 }}\n"
)

# What our reader does in our page, with the report in frames beside it.
READER = """<!doctype html><iframe id=phone width=400 height=800></iframe>
<iframe id=desk width=1000 height=800></iframe><pre id=seen></pre><script>
const seen = {};
function luminance(colour) {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => {
    value /= 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function background(node) {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
}
function contrast(node) {
  const style = getComputedStyle(node), drawn = node.closest("svg");
  const [a, b] = [drawn ? style.fill : style.color, background(node)].map(luminance);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
function pictures(page) {
  return [...page.querySelectorAll("svg")].map(svg => {
    const named = svg.getAttribute("aria-labelledby").split(" ");
    const boxes = [...svg.querySelectorAll("text")].map(text => text.getBBox());
    const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width &&
      a.y + 2 < b.y + b.height && b.y + 2 < a.y + a.height;
    const all = svg.viewBox.baseVal;
    return {
      role: svg.getAttribute("role"),
      says: named.map(id => page.getElementById(id).textContent),
      text: [...svg.querySelectorAll("text")].map(text => text.textContent),
      clashes: boxes.filter((a, i) => boxes.slice(0, i).some(b => meet(a, b))).length,
      outside: boxes.filter(box => box.x < 0 || box.y < 0 ||
        box.x + box.width > all.width || box.y + box.height > all.height).length,
      asleep: svg.querySelectorAll("rect.sleep").length,
    };
  });
}
function look(page) {
  const root = page.documentElement;
  const all = selector => [...page.querySelectorAll(selector)];
  return {
    title: page.title,
    width: root.clientWidth, needs: root.scrollWidth,
    loads: all("script, img, link, iframe, object, video, image, use").length,
    text: page.body.innerText,
    levels: all("h1, h2, h3, h4").map(heading => Number(heading.tagName[1])),
    heads: all("th").length, scopes: all("th[scope]").length,
    lost: all("a[href^='#']").filter(a => !page.getElementById(a.hash.slice(1))).length,
    blocks: all("pre").map(pre => pre.className),
    sideways: all("dd, li, p").filter(node => node.scrollWidth > node.clientWidth + 1 &&
      !node.querySelector("pre, svg")).length,
    prose: all(".lesson dd").filter(node => node.clientWidth).map(node =>
      getComputedStyle(node).fontFamily).filter(font => /mono/.test(font)).length,
    links: all(".lesson a").map(a => a.getAttribute("href")),
    paper: background(page.body),
    contrast: Math.min(...all("h1, p, pre, li, td, th, span, text").map(contrast)),
    folded: all("details").filter(details => details.offsetHeight > 0).length,
    pictures: pictures(page),
  };
}
function onPaper(page) {
  for (const rule of [...page.styleSheets].flatMap(sheet => [...sheet.cssRules]))
    if (rule.media?.mediaText === "print") rule.media.mediaText = "all";
}
for (const frame of document.querySelectorAll("iframe")) {
  frame.onload = () => {
    const page = frame.contentDocument, folds = [...page.querySelectorAll("details")];
    folds.forEach(fold => fold.open = true);
    seen[frame.id] = look(page);
    if (frame.id === "desk") {
      folds.forEach(fold => fold.open = false);
      onPaper(page);
      seen.paper = look(page);
    }
    document.getElementById("seen").textContent = JSON.stringify(seen);
  };
  frame.src = "report.html";
}
</script>"""


class Site(http.server.ThreadingHTTPServer):
    """Serves a folder on loopback, and remembers the requests."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def log_request(self, *_: Any) -> None:
                site.asked.append(self.path)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "reader.html").write_text(READER)
    with Site(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def browse(site: Site, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Shows a page to a browser, and returns what is seen on a phone and on a desk."""
    browser = next(filter(shutil.which, BROWSERS), "")
    if not browser:
        pytest.skip("no browser here")

    def browse(page: str, *options: str) -> dict[str, Any]:
        (tmp_path / "site" / "report.html").write_text(page)
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--no-first-run", "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000", *options, "--dump-dom",
            f"{site.url}/reader.html",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        seen = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
        assert seen and seen[1], done.stderr[-2000:]
        text = seen[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        found: dict[str, Any] = json.loads(text)
        return found

    return browse


def _result(says: str = "") -> dict[str, Any]:
    """A result in which every field that a student's program can affect says SAYS."""
    stage = StageResult(3, 20, "graded")
    stage.build = {"ok": True, "seconds": 0.1, "output": says}
    stage.milestones = [
        Milestone("create_server", "passed"),
        Milestone("create_loop", "failed", says),
    ]
    passed = CheckResult("echo/line", "echoes a line", "3.4", 10, "passed", 10)
    failed = CheckResult("echo/large", "echoes 8 MiB", "3.4", 10, "failed")
    failed.message, failed.details = says, f"What is wrong: {says}"
    failed.lesson = [
        Part("prose", "What is wrong:", says),
        Part("story", "What was done:", story=[Line(1, "  1. ", says)]),
        Part("bytes", "", says),
        Part("output", "Its standard error ends with:", says),
        Part("command", "Again:", says),
        Part("link", "Read on:", "lesson 3", link="stages/3/README.md#epoll"),
        Part("link", "Read on:", says, link=f"javascript:{says}"),
    ]
    failed.evidence = _evidence(says)
    passed.evidence = _evidence("sends")
    late = CheckResult("echo/pause", "goes on", "3.4", 0, blocked_by="echo/large")
    stage.checks = [passed, failed, late]
    return Result(1, "bubblewrap", [stage], 2.5).as_json()


def _evidence(says: str) -> dict[str, Any]:
    return {
        "says": says,
        "story": [
            {"ms": 1.0, "who": "the server", "does": "listens on port 20001"},
            {"ms": 2.0, "who": "the idle client", "does": "connects"},
            {"left_out": 3},
            {"ms": 9.0, "who": f"one {says}", "does": says, "bytes": 20, "data": says},
        ],
        "asleep": [{"from_ms": 4.0, "to_ms": 12.0, "in": f"recv() {says}"}],
        "ended_ms": 60.0,
    }


def test_the_page_reads_well_on_a_phone_and_on_a_desk(
    browse: Callable[..., dict[str, Any]], submit: Submit, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    wrong = programs.find("3/blocking_send").text
    only = ("3", "--only", "blocking", "--submission", submit(3, wrong))
    graded = run_grader(*only, "--html", page)
    check = graded.checks(3)["blocking/never_reads"]
    seen = browse(page.read_text())
    for view in (seen["phone"], seen["desk"]):
        assert view["needs"] <= view["width"], "nothing sticks out of the page"
        assert view["levels"][0] == 1 and view["levels"].count(1) == 1
        steps = zip(view["levels"], view["levels"][1:])
        assert all(after <= before + 1 for before, after in steps)
        assert view["heads"] == view["scopes"] > 0
        assert (view["lost"], view["loads"]) == (0, 0)
        assert view["contrast"] >= 4.5  # WCAG 2.2, 1.4.3
        # Prose wraps; bytes and others' output keep their columns.
        assert view["blocks"] == [] and (view["sideways"], view["prose"]) == (0, 0)
        [link] = view["links"]
        assert link.endswith("stages/3/README.md#second-half-never-wait-at-all")
        text = " ".join(view["text"].split())
        assert "0 of 26 points" in text and check["message"] in text
        for part in check["lesson"]:
            told = [part["text"], *(line["says"] for line in part["story"])]
            assert all(" ".join(words.split()) in text for words in told)
        drawn = view["pictures"][0]
        assert (drawn["role"], drawn["clashes"], drawn["outside"]) == ("img", 0, 0)
        assert (
            check["title"] in drawn["says"][0]
            and "the stalled client" in drawn["says"][1]
        )
        assert "the server is asleep in send()" in drawn["text"]
        assert 0 < drawn["asleep"] <= len(check["evidence"]["asleep"])
        assert "ms: the server is asleep in send()" in text  # and in words


def test_the_page_is_dark_where_that_is_liked_but_not_on_paper(
    browse: Callable[..., dict[str, Any]],
) -> None:
    light = browse(html.render(_result("ok")))
    dark = browse(html.render(_result("ok")), "--blink-settings=preferredColorScheme=0")
    assert light["desk"]["paper"] != dark["desk"]["paper"]
    assert light["paper"]["paper"] == dark["paper"]["paper"] == "rgb(255, 255, 255)"
    views = (light["desk"], light["paper"], dark["desk"], dark["paper"])
    assert min(view["contrast"] for view in views) >= 4.5
    assert light["desk"]["folded"] > light["paper"]["folded"] == 0
    assert "What is wrong\nok" in light["paper"]["text"]


def test_in_the_page_what_a_program_printed_is_text_and_loads_nothing(
    browse: Callable[..., dict[str, Any]], site: Site
) -> None:
    hostile = HOSTILE.replace("URL", site.url)
    seen = browse(html.render(_result(hostile)))
    for view in seen.values():
        assert view["loads"] == 0 and len(view["pictures"]) == 2
        assert view["blocks"] == ["", "bytes", "output"]
        assert [link.partition("#")[2] for link in view["links"]] == ["epoll"]
        assert view["title"] == "Echo Lab: 10 of 20 points"
        assert "<script>" in view["text"] and "{{ 7 * 7 }}" in view["text"]
        assert "\x1b" not in view["text"] and "\n::error" not in view["text"]
        assert view["needs"] <= view["width"]
    asked = {path.split("?")[0] for path in site.asked}
    assert asked <= {"/reader.html", "/report.html", "/favicon.ico"}


def test_the_page_forbids_itself_everything_but_its_own_style() -> None:
    page = html.render(_result(HOSTILE))
    policy = re.search(r'Policy" content="([^"]*)"', page)
    assert policy and policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy[1] and "<script" not in page


# -- the timeline -------------------------------------------------------------


def test_a_timeline_has_a_lane_for_each_and_says_when_the_program_slept() -> None:
    check = {"message": "", "status": "failed", "evidence": _evidence("sends")}
    drawn = timeline(3, check)
    assert drawn and drawn.lanes == ["the server", "the idle client", "one sends"]
    assert [(row.ms, row.who, row.words) for row in drawn.rows] == [
        (1.0, "the server", "listens on port 20001"),
        (2.0, "the idle client", "connects"),
        (None, "", "3 steps left out"),
        (4.0, "the server", "is asleep in recv() sends"),
        (9.0, "one sends", "sends 20 bytes"),
        (60.0, "", "the verdict: it does not hold"),
    ]


def test_of_a_crowd_those_have_lanes_whom_it_is_about() -> None:
    story = [{"ms": n, "who": f"client {n}", "does": "connects"} for n in range(50)]
    drawn = timeline(3, {"message": "client 7 got", "evidence": {"story": story}})
    assert drawn and "client 7" in drawn.lanes and "client 49" in drawn.lanes
    assert (len(drawn.lanes), drawn.others) == (6, 45)
    assert sum(row.left_out or 1 for row in drawn.rows) == 50


def test_who_has_a_name_that_begins_another_is_not_the_one_it_is_about() -> None:
    story = [{"ms": n, "who": f"client {n}", "does": "connects"} for n in range(70)]
    drawn = timeline(3, {"message": "it left client 60.", "evidence": {"story": story}})
    assert drawn and "client 60" in drawn.lanes and "client 6" not in drawn.lanes


def test_who_has_no_rail_is_counted_in_the_whole_crowd() -> None:
    transcript = Transcript()
    transcript.note("the server", "listens")
    for number in range(1100):
        transcript.note(f"client {number}", "connects")
    drawn = timeline(3, {"evidence": transcript.as_data()})
    assert drawn and len(drawn.lanes) == 6 and drawn.others == 1095


def test_a_picture_of_a_crowd_has_room_on_a_phone() -> None:
    story = [
        {
            "ms": n,
            "who": f"client {n}",
            "does": "sends",
            "bytes": 65536,
            "data": "z" * 24,
        }
        for n in range(1000, 1050)
    ]
    evidence = {"story": story, "ended_ms": 2000}
    drawn = timeline(3, {"status": "failed", "evidence": evidence})
    assert drawn and picture(drawn).width <= 347


def test_sleeps_that_touch_are_one_bar() -> None:
    asleep = [{"from_ms": n, "to_ms": n + 1, "in": "recv()"} for n in range(2, 50)]
    drawn = timeline(3, {"evidence": _evidence("sends") | {"asleep": asleep}})
    assert drawn and len(drawn.sleeps) == 48
    bars = picture(drawn).sleeps
    assert all(
        top + height < after for (top, height), (after, _) in zip(bars, bars[1:])
    )
    assert len(bars) < 5


def test_in_a_picture_time_goes_down_and_long_pauses_do_not_squeeze_the_rest() -> None:
    moments = [0.0, 1.0, 2.0, 60_000.0, 60_001.0]
    story = [{"ms": ms, "who": "client 1", "does": "stops"} for ms in moments]
    drawn = timeline(3, {"evidence": {"story": story}})
    assert drawn
    places = [mark.y for mark in picture(drawn).marks]
    steps = [after - before for before, after in zip(places, places[1:])]
    assert steps[0] == steps[1] == steps[3] > 0
    assert steps[0] < steps[2] < 3 * steps[0]


def test_a_bar_goes_from_where_the_program_fell_asleep_to_the_verdict() -> None:
    evidence = _evidence("sends") | {"asleep": [{"from_ms": 9, "to_ms": 60, "in": ""}]}
    drawn = timeline(3, {"status": "failed", "evidence": evidence})
    assert drawn
    made = picture(drawn)
    [(top, height)] = made.sleeps
    [asleep] = [words for words in made.words if words.kind == "asleep"]
    assert top == pytest.approx(asleep.y, abs=5)
    assert top + height == made.verdict


def test_a_rail_ends_where_its_client_leaves() -> None:
    does = ["connects", "resets its connection (RST)", "receives"]
    story = [
        {"ms": n, "who": who, "does": what}
        for n, (who, what) in enumerate(zip(["a", "a", "b"], does))
    ]
    drawn = timeline(3, {"evidence": {"story": story}})
    assert drawn
    made = picture(drawn)
    _, gone, there = made.rails
    came, left, _ = made.marks
    assert (came.kind, left.kind) == ("connects", "breaks")
    assert (gone.begin, gone.end) == (came.y, left.y)
    assert there.end == made.height > left.y


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"story": None},
        {"story": "text"},
        {"story": [{}, "text", {"does": "connects"}]},
        {"story": [{"who": "a", "ms": "soon"}], "asleep": [{"from_ms": 1}]},
        {"story": [{"who": "a", "ms": float("nan")}], "ended_ms": float("inf")},
        {"story": [{"who": "a", "ms": 9}, {"who": "a", "ms": 1}], "ended_ms": -1},
        {"story": [{"who": "a"}], "asleep": [{"from_ms": 9, "to_ms": 1e308}]},
    ],
)
def test_evidence_of_any_shape_has_a_page(evidence: dict[str, Any]) -> None:
    result = _result("ok")
    result["stages"][0]["checks"][1]["evidence"] = evidence
    page = html.render(result)
    assert "<dd>ok</dd>" in page and "nan" not in page


# -- Markdown -----------------------------------------------------------------


def test_markdown_cannot_be_left_by_what_a_program_printed() -> None:
    text = markdown.render(_result(HOSTILE))
    fence, inside = "", []
    for line in text.splitlines():
        opened = re.fullmatch(r"(`{3,})text", line)
        if not fence and opened:
            fence = opened[1]
        elif line == fence:
            fence = ""
        elif fence:
            inside.append(line)
        else:
            assert "script" not in line and "![" not in line and line != "# no"
    assert not fence and any("<script>" in line for line in inside)
    assert "\x1b" not in text and "\n::error" not in text


def test_in_markdown_no_field_makes_a_link_a_tag_or_a_column() -> None:
    hostile = "@bob #12 http://a.b www.c.d | <b> **x** [y](z) \n\n# no\n::error::"
    result = _result(hostile)
    result["isolation"] = result["grader"] = result["started"] = hostile
    [stage] = result["stages"]
    stage["milestones"][1]["name"] = hostile
    for check in stage["checks"]:
        check["title"] = check["requirement"] = check["blocked_by"] = hostile
    text = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", markdown.render(result))
    bare = re.sub(r"`[^`]*`|\\.", "", text)  # without code, and without what is escaped
    assert not re.search(r"@bob|#12|http://|www\.|<b>|^::", bare, re.M)
    # Markdown means nothing in a line that begins with HTML (CommonMark 0.31, 4.6).
    words = re.sub(r"(?m)^<.*$", "", bare)
    assert not re.search(r"\*\*x|\[y\]|^# no", words, re.M)
    rows = [line for line in bare.splitlines() if line.startswith("|")]
    assert len(rows) == 5 and all(row.count("|") == 5 for row in rows)


def test_a_link_leads_to_the_lesson_wherever_the_report_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    github = {"SERVER_URL": "https://github.com", "REPOSITORY": "a/b", "SHA": "1f" * 20}
    for name in github:
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    place = "stages/3/README.md#epoll"
    assert f"Read on: [lesson 3]({place})" in markdown.render(_result("ok"))
    assert f'href="{place}"' in html.render(_result("ok"))
    for name, value in github.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    address = f"https://github.com/a/b/blob/{'1f' * 20}/{place}"
    assert f"Read on: [lesson 3]({address})" in markdown.render(_result("ok"))
    assert f'href="{address}"' in html.render(_result("ok"))
    monkeypatch.setenv("GITHUB_SERVER_URL", "javascript:alert(1)//")
    assert f'href="{place}"' in html.render(_result("ok"))


def test_what_the_compiler_said_comes_before_the_checks_that_it_prevented() -> None:
    result = _result("tcp_server.c:1: error: no")
    result["stages"][0]["status"] = "build_failed"
    text = markdown.render(result)
    assert text.index("It does not compile") < text.index("| Check |")


def test_a_link_to_a_check_that_passed_leads_into_what_is_folded() -> None:
    page = html.render(_result("ok"))
    assert 'href="#stage-3-echo-line"' in page
    folded = page.partition('</summary>\n<div id="stage-3-echo-line"')
    assert folded[1] and folded[0].rpartition("<details")[2].count("</details") == 0


def test_markdown_says_how_far_the_milestones_are_climbed() -> None:
    text = markdown.render(_result())
    assert "Milestones: 1 of 2, and `create_loop` is next." in text
    assert "isolation: bubblewrap; seed 1;" in text


def test_markdown_never_grows_over_what_github_shows() -> None:
    result = _result("`" * 10_000_000)
    check = result["stages"][0]["checks"][1]
    result["stages"][0]["checks"] += [check] * 60
    text = markdown.render(result)
    assert len(text.encode()) < 1 << 20
    assert text.startswith("# Echo Lab: 10 of 20 points\n")
    assert text.count("| ❌ failed |") == 61
    assert "more have no room here" in text


# -- the command line ---------------------------------------------------------


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_report_that_cannot_be_written_is_said_before_anything_is_done(
    form: str, tmp_path: Path
) -> None:
    file = tmp_path / "nowhere" / "report"
    solutions = ROOT / "solutions"
    graded = run_grader("1", "--submission", solutions, f"--{form}={file}")
    assert (graded.status, graded.out) == (2, "")
    assert graded.err == f"grader: cannot write {file}: No such file or directory\n"


def test_the_reports_grow_with_what_is_known(tmp_path: Path) -> None:
    page, text = tmp_path / "report.html", tmp_path / "summary.md"
    command = ["/usr/bin/python3", "-m", "grader", "grade", "1"]
    command += ["--submission", "solutions"]
    command += ["--html", str(page), "--markdown", str(text)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as grader:
        assert grader.stdout
        for line in grader.stdout:
            if "listens on the port it is given" in line:
                break
        seen = page.read_text(), text.read_text()
        grader.terminate()
        grader.stdout.read()
    for report in seen:
        assert re.search("[✓✅] passed", report) and "this is not a grade" in report
