"""The rules that a reader of the sources can check. Each check takes a Tree and returns the violations as lines of
text, so that tidy_test.py can hold the project to it and planted_test.py can show that it finds what it should."""
import fnmatch
import os
import re
import subprocess

CXX = (".cpp", ".h")
STANDARD = set("""
algorithm any array bit bitset cassert cctype cerrno cfloat charconv cinttypes climits cmath compare complex concepts
cstdarg cstddef cstdint cstdio cstdlib cstring cwchar deque exception forward_list functional initializer_list iomanip ios
iterator limits list locale map memory memory_resource new numbers numeric optional queue ranges ratio regex scoped_allocator
set source_location span sstream stack stdexcept string string_view system_error tuple type_traits typeindex typeinfo
utility valarray variant vector version stddef.h stdint.h string.h
""".split())
WORLD = set("""
atomic barrier chrono condition_variable csignal ctime filesystem fstream future iostream istream latch mutex ostream
random semaphore shared_mutex stop_token syncstream thread
arpa/inet.h dirent.h errno.h fcntl.h getopt.h grp.h limits.h linux/* malloc.h net/* netdb.h netinet/* poll.h pthread.h
pwd.h sched.h signal.h stdio.h stdlib.h sys/* syslog.h termios.h time.h unistd.h
""".split())
UNORDERED = {"unordered_map", "unordered_set"}
BANNED_HEADERS = {"format": "use fmt or std::string", "coroutine": "no coroutines", "expected": "use base/result.h",
                  "generator": "no coroutines"}
BANNED_WORDS = [
    (re.compile(r"\bstd::(v)?format(_to)?\b"), "std::format is absent in g++ 12"),
    (re.compile(r"\bstd::expected\b"), "use Result of base/result.h"),
    (re.compile(r"\bco_(await|return|yield)\b"), "no coroutines"),
    (re.compile(r"#\s*(if|ifdef|ifndef|elif)\b.*\b(\w*TESTING\w*|UNIT_TESTS?|TRAM_MUTANT\w*)\b"),
     "no switches for tests in the code"),
    (re.compile(r"\busing\s+namespace\s+std\s*;"), "no using namespace std"),
]
LINES_MAX = 700
# Files whose length or words are not ours to choose.
NOT_PROSE = re.compile(r"(lock\.(json|yaml)$|lock$|\.svg$|\.csv$|\.json$|vectors/)")


class Tree:
    """The files under `top`: those git tracks or would track; outside a checkout, all of them."""

    def __init__(self, top):
        self.top = top
        self._text = {}
        done = subprocess.run(["git", "-c", "safe.directory=*", "-C", top, "ls-files", "-z", "-co", "--exclude-standard"],
                              capture_output=True, check=False) if os.path.exists(os.path.join(top, ".git")) else None
        if done and done.returncode == 0:
            found = done.stdout.decode().split("\0")
        else:
            found = [os.path.relpath(os.path.join(folder, name), top)
                     for folder, _, names in os.walk(top) for name in names]
        self.files = sorted(f for f in set(found) if f and os.path.isfile(os.path.join(top, f)))

    def text(self, path):
        """The file's text; None when it is binary."""
        if path not in self._text:
            with open(os.path.join(self.top, path), "rb") as file:
                data = file.read()
            self._text[path] = None if b"\0" in data[:8192] else data.decode("utf-8", "replace")
        return self._text[path]

    def cxx(self):
        return [f for f in self.files if f.endswith(CXX)]


def tables(text, name):
    """The rows (lists of cells) of the Markdown table after `<!-- table: name -->`."""
    at = text.find("<!-- table: %s -->" % name)
    if at < 0:
        raise ValueError("no table '%s'" % name)
    rows = []
    for line in text[at:].splitlines()[1:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return rows[2:]


def ticked(cell):
    return re.findall(r"`([^`]+)`", cell)


class Architecture:
    def __init__(self, text):
        self.rooms, self.never = {}, {}
        for row in tables(text, "rooms"):
            for room in ticked(row[0]):
                self.rooms[room] = set(ticked(row[2])) | {room}
                self.never[room] = set(ticked(row[3]))
        self.third_party = [(ticked(header), ticked(where)) for header, _, where in tables(text, "third-party")]

    def room(self, path):
        found = [room for room in self.rooms if path.startswith(room)]
        return max(found, key=len) if found else None

    def third_party_homes(self, header):
        """The files and folders that may include `header`; None when no row speaks of it."""
        homes = [home for patterns, where in self.third_party
                 if any(fnmatch.fnmatch(header, pattern) for pattern in patterns) for home in where]
        return homes or None


def without_comments(text):
    """The code alone, line for line; the contents of strings stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        part = match.group(0)
        return part if part[0] in "\"'" else "\n" * part.count("\n")
    return pattern.sub(blank, text)


def includes(text):
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def matches(header, names):
    return header in names or any("*" in name and fnmatch.fnmatch(header, name) for name in names)


def touches_world(path):
    return "/io/" in path or path.startswith(("node/cli/", "tests/"))


def check_includes(tree, architecture):
    """House rule: the include table. Returns violations."""
    bad = []
    for path in tree.cxx():
        room = architecture.room(path)
        if room is None:
            bad.append("%s: lies in no folder of the table of rooms" % path)
            continue
        for number, quote, header in includes(tree.text(path)):
            place = "%s:%d: " % (path, number)
            homes = architecture.third_party_homes(header)
            if homes is not None:
                if not any(path.startswith(home) for home in homes):
                    bad.append(place + "<%s> belongs in %s only" % (header, " ".join(homes)))
            elif header in BANNED_HEADERS:
                bad.append(place + "<%s>: %s" % (header, BANNED_HEADERS[header]))
            elif quote == '"':
                beside = os.path.join(os.path.dirname(path), header)
                if path.startswith("tests/") and beside in tree.files:
                    continue
                if header not in tree.files:
                    bad.append(place + '"%s" is no file of the project; name it from the top' % header)
                    continue
                target = architecture.room(header)
                if target not in architecture.rooms[room]:
                    bad.append(place + "%s may not include %s" % (room, header))
                elif any(header == never or header.startswith(never) for never in architecture.never[room]):
                    bad.append(place + "%s never includes %s" % (room, header))
            elif matches(header, WORLD):
                if not touches_world(path):
                    bad.append(place + "<%s> touches the world; only io/ may" % header)
            elif header in UNORDERED:
                if not touches_world(path):
                    bad.append(place + "<%s>: no unordered containers in pure code" % header)
            elif header not in STANDARD:
                bad.append(place + "<%s> has no row in the table of third-party headers" % header)
    return bad


def check_language(tree):
    bad = []
    for path in tree.cxx():
        for number, line in enumerate(without_comments(tree.text(path)).splitlines(), 1):
            bad += ["%s:%d: %s" % (path, number, why) for pattern, why in BANNED_WORDS if pattern.search(line)]
    return bad


def check_headers(tree):
    """A header opens with what it is, and is included once."""
    bad = []
    for path in tree.cxx():
        if path.endswith(".h"):
            if not tree.text(path).startswith("//"):
                bad.append("%s: opens without saying what it is" % path)
            if "#pragma once" not in tree.text(path):
                bad.append("%s: no #pragma once" % path)
    return bad


def check_log_events(tree):
    """An event of the log is a constant, noun.past_verb; nothing else may be a name."""
    call = re.compile(r'\b\w*log\w*(?:\.|->)(?:debug|info|warning|error)\(\s*("[^"]*"|[^\s,)]+)')
    bad = []
    for path in tree.cxx():
        if path.startswith("tests/"):
            continue
        text = without_comments(tree.text(path))
        for match in call.finditer(text):
            if not re.fullmatch(r'"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+"', match.group(1)):
                number = text.count("\n", 0, match.start()) + 1
                bad.append("%s:%d: log event %s is not a constant noun.past_verb" % (path, number, match.group(1)))
    return bad


def check_lengths(tree):
    bad = []
    for path in tree.files:
        if NOT_PROSE.search(path) or tree.text(path) is None:
            continue
        lines = tree.text(path).count("\n")
        if lines > LINES_MAX:
            bad.append("%s: %d lines; does it still fit one room?" % (path, lines))
    return bad


# Built from halves so that this file does not contain what it looks for.
FORBIDDEN = [(re.compile(pattern, flags), why) for pattern, flags, why in [
    (r"/wo" r"rk/", 0, "path of one machine"),
    (r"/tmp/" r"(bash_jobs|briefs|build-)", 0, "path of one machine"),
    (r"(?<![\w.])/(ro" r"ot|home/\w+)/", 0, "path of one machine"),
    (r"\.\./sha" r"red/(design|domain|hooks)", 0, "path outside the project"),
    (r"\bhel" r"pers?\b", re.I, "say what it is"),
    (r"\b(registry\.npmj" r"s\.org|deb\.debia" r"n\.org|pypi\.o" r"rg|files\.pythonhoste" r"d\.org)", re.I, "host of a registry"),
    (r"\b(clau" r"de|anthro" r"pic|chatg" r"pt|co-?pil" r"ot|language mod" r"el)\b", re.I, "the project speaks of itself alone"),
    (r"\bTO" r"DO\b|\bFIX" r"ME\b", 0, "do it, or say it in an issue"),
]]
HOSTS_ONLY = {"host of a registry", "path of one machine"}


def check_words(tree):
    bad = []
    for path in tree.files:
        text = tree.text(path)
        if text is None:
            continue
        for pattern, why in FORBIDDEN:
            if NOT_PROSE.search(path) and why not in HOSTS_ONLY:
                continue
            for match in pattern.finditer(text):
                bad.append("%s:%d: '%s': %s" % (path, text.count("\n", 0, match.start()) + 1, match.group(0), why))
        for pattern, why in FORBIDDEN:
            if pattern.search(path):
                bad.append("%s: the name: %s" % (path, why))
    return bad


ERROR_ROW = re.compile(r'^TRAM_ERROR\(\s*(\w+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\w+)\s*,\s*"((?:[^"\\]|\\.)*)"\s*,'
                       r'\s*"((?:[^"\\]|\\.)*)"\s*\)\s*$')
VIETNAMESE = re.compile("[àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ]", re.I)


def check_error_table(text):
    """One row a number and a name; both languages there, each what happened and what to do; a status that HTTP knows."""
    bad, names, numbers, rows = [], {}, {}, 0
    for line_number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("//"):
            continue
        place = "error_table.def:%d: " % line_number
        match = ERROR_ROW.match(line)
        if not match:
            bad.append(place + "not a row")
            continue
        rows += 1
        name, number, http, retry, vi, en = match.groups()
        for seen, key, what in ((names, name, "name"), (numbers, int(number), "number")):
            if key in seen:
                bad.append(place + "%s %s is taken by line %d" % (what, key, seen[key]))
            seen[key] = line_number
        if int(number) == 0:
            bad.append(place + "0 is no number")
        if not 400 <= int(http) <= 599:
            bad.append(place + "HTTP status %s" % http)
        if retry not in ("never", "later", "elsewhere", "fatal"):
            bad.append(place + "retry class %s" % retry)
        if not vi.strip() or not VIETNAMESE.search(vi):
            bad.append(place + "no Vietnamese text")
        if not en.strip() or VIETNAMESE.search(en):
            bad.append(place + "no English text")
        elif vi.strip() and ("; " not in vi or "; " not in en):
            bad.append(place + "does not say what to do after a semicolon")
    if rows == 0:
        bad.append("error_table.def: no rows")
    return bad
