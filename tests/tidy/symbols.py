"""What the compiled libraries ask of the world, read with nm: the second proof that pure code is pure."""
import re
import subprocess

# What pure code may not refer to, and under which name a violation is reported.
WORLD = [(re.compile("^(%s)$" % pattern), what) for pattern, what in [
    (r"clock_\w+|(nano|u)?sleep|time|gettimeofday|ftime|localtime(_r)?|mktime|tzset|timer_\w+|alarm|setitimer"
     r"|std::chrono::(_V2::)?\w*clock::now\(\)", "clock"),
    (r"socket|socketpair|connect|bind|listen|accept4?|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|p?poll|epoll_\w+|p?select"
     r"|getaddrinfo|gethostby\w+|getsockopt|setsockopt|inet_\w+", "socket"),
    (r"pthread_create|pthread_cond_\w+|thrd_\w+|std::thread::\S.*|std::jthread::\S.*|std::condition_variable.*|fork|vfork"
     r"|clone|posix_spawnp?|exec\w+|system|popen|sem_\w+|std::__atomic_futex\S*.*", "thread or process"),
    (r"mdb_\w+", "LMDB"),
    (r"zmq_\w+", "ZeroMQ"),
    (r"MHD_\w+|curl_\w+|sd_\w+", "HTTP, systemd"),
    (r"(secure_)?getenv|setenv|putenv|unsetenv|environ|getpid|getuid|geteuid|gethostname|uname|isatty|setlocale", "environment"),
    (r"f?open(at)?(64)?|creat(64)?|f?read(v|link\w*)?|f?write(v)?|p(read|write)v?(64)?|__p?read(64)?_chk|__open(at)?(64)?_2|close|fclose|unlink(at)?"
     r"|rename(at2?)?|mkdir(at)?|opendir|readdir(64)?|f?stat(at|vfs)?(64)?|lstat(64)?|f(data)?sync|mmap(64)?|ftruncate(64)?"
     r"|posix_fallocate(64)?|fputs|fputc|puts|putchar|f?printf|__f?printf_chk|v?f?printf|fgets|getc|f?scanf|tmpfile|mkstemp"
     r"|remove|std::(basic_)?(i|o)?f(ile)?(stream|buf).*|std::filesystem::.*|std::(cout|cerr|clog|cin)", "file or stream"),
    (r"s?rand(_r|om)?|rand48|[dlm]rand48|getrandom|getentropy|arc4random\w*|std::random_device::.*|randombytes\w*|RAND_\w+"
     r"|crypto_\w*keygen|crypto_(?!\w*seed)\w+_keypair|crypto_box_seal|crypto_core_\w+_random", "randomness"),
    (r"signal|sigaction|raise|kill|exit|_exit|quick_exit|atexit", "process control"),
]]

# What may stand all the same: (library, object file) -> {symbol: why}.
ALLOWED = {
    ("tram_base", "check.cpp.o"): {
        "fprintf": "a broken invariant names its place before the process stops",
        "__fprintf_chk": "the same, with _FORTIFY_SOURCE",
        "fwrite": "the same, as the compiler may write it",
    },
}


def undefined(archive):
    """[(object file, demangled undefined symbol)] of a static library. Symbols the library itself defines stay out."""
    done = subprocess.run(["nm", "-C", archive], capture_output=True, text=True, check=True)
    wants, has, current = [], set(), ""
    for line in done.stdout.splitlines():
        if line.endswith(":") and " " not in line:
            current = line[:-1]
            continue
        match = re.match(r"^[0-9a-f ]{16} ([A-Za-z]) (.+)$", line)
        if match and match.group(1) in "Uw":
            wants.append((current, match.group(2)))
        elif match:
            has.add(match.group(2))
    return [(where, name) for where, name in wants if name not in has]


def defined_functions(binary, prefix):
    """The functions under `prefix` that a library or program contains as its own code (no templates, no inlines)."""
    done = subprocess.run(["nm", "-C", "--defined-only", binary], capture_output=True, text=True, check=True)
    found = set()
    for line in done.stdout.splitlines():
        match = re.match(r"^[0-9a-f]+ [Tt] (.+)$", line)
        if match and match.group(1).startswith(prefix):
            found.add(re.sub(r" \[clone .*\]$", "", match.group(1)))
    return found


def impure(library, archive):
    """Violations of one library, as lines of text. `library` is its name in CMake."""
    allowed = {}
    for (name, where), symbols in ALLOWED.items():
        if name == library:
            allowed[where] = symbols
    bad = []
    for where, symbol in undefined(archive):
        plain = symbol.split("@")[0]
        for pattern, what in WORLD:
            if pattern.match(plain) and plain not in allowed.get(where, {}):
                bad.append("%s, %s: %s (%s)" % (library, where, plain, what))
    return sorted(set(bad))
