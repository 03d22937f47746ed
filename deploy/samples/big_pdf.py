"""A large valid PDF of exactly the size asked for, as a scanner makes it: grey A4 pages at 200 dpi, noise on paper,
dark rows of words, not compressed. Written page by page, so memory stays small. Same size, same bytes."""
import random

WIDTH, HEIGHT = 1654, 2339  # A4 at 200 dpi (Decree 30/2020/NĐ-CP, Annex I: scans of at least 200 dpi)
SMALLEST = 2048
PAPER = bytes(212 + value // 6 for value in range(256))
INK = bytes(24 + value // 5 for value in range(256))


def scan(page):
    """The pixels of one page."""
    noise = random.Random(page)
    pixels = bytearray(noise.randbytes(WIDTH * HEIGHT).translate(PAPER))
    for top in range(230, HEIGHT - 230, 46):
        at = 236
        while at < WIDTH - 160:
            word = noise.randrange(24, 120)
            for y in range(top, top + 15):
                # Strokes: a few dark runs, so that the row looks like type from afar.
                for x in range(at, min(at + word, WIDTH - 134), 11):
                    pixels[y * WIDTH + x:y * WIDTH + x + 5] = noise.randbytes(5).translate(INK)
            at += word + 22
    return pixels


class Writer:
    def __init__(self, file):
        self.file, self.at, self.offsets = file, 0, {}

    def put(self, data):
        self.file.write(data)
        self.at += len(data)

    def object(self, number, head, data=None):
        self.offsets[number] = self.at
        self.put(b"%d 0 obj\n%s\n" % (number, head))
        if data is not None:
            self.put(b"stream\n")
            self.put(data)
            self.put(b"\nendstream\n")
        self.put(b"endobj\n")


def image_head():
    return (b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
            b"/Length %d >>" % (WIDTH, HEIGHT, WIDTH * HEIGHT))


def page_text(page, pages):
    return (b"q 595.28 0 0 841.89 0 0 cm /Im Do Q\nBT /F 11 Tf 1 0 0 1 250 806 Tm (Trang %d / %d) Tj ET\n" % (page, pages))


def write(path, size):
    """Writes a PDF of `size` bytes (at least SMALLEST) and returns its number of pages."""
    if size < SMALLEST:
        raise SystemExit("error: a PDF of %d bytes is too small\nhint: ask for at least %d" % (size, SMALLEST))
    pages = max(0, (size - SMALLEST) // (WIDTH * HEIGHT + 1024))
    with open(path, "wb") as file:
        out = Writer(file)
        out.put(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        # 1 catalog, 2 pages, 3 font, 4 filler, then for each page: page, content, image.
        shown = max(pages, 1)
        kids = b" ".join(b"%d 0 R" % (5 + 3 * n) for n in range(shown))
        out.object(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        out.object(2, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (shown, kids))
        out.object(3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
        for n in range(shown):
            first = 5 + 3 * n
            resources = b"/Font << /F 3 0 R >>" + (b" /XObject << /Im %d 0 R >>" % (first + 2) if pages else b"")
            out.object(first, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595.28 841.89] /Contents %d 0 R "
                       b"/Resources << %s >> >>" % (first + 1, resources))
            text = page_text(n + 1, shown)
            if not pages:
                text = text.split(b"\n", 1)[1]
            out.object(first + 1, b"<< /Length %d >>" % len(text), text)
            if pages:
                out.object(first + 2, image_head(), scan(n))
            else:
                out.object(first + 2, b"null")
        # The filler makes the size exact: everything after it has a known length.
        objects = 5 + 3 * shown
        digits = len(str(size))
        table = b"xref\n0 %d\n" % objects
        rest = len(table) + 20 * objects
        trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%s\n%%%%EOF\n"
        rest += len(trailer % (objects, b"0" * digits))
        frame = b"<< /Length %s >>"
        around = len(b"4 0 obj\n" + frame % (b"0" * digits) + b"\nstream\n" + b"\nendstream\nendobj\n")
        room = size - out.at - around - rest
        if room < 0:
            raise AssertionError("the sizes do not add up")
        offset = out.at
        out.put(b"4 0 obj\n" + frame % str(room).zfill(digits).encode() + b"\nstream\n")
        noise, out.offsets[4] = random.Random(size), offset
        while room:
            part = min(room, 1 << 20)
            out.put(noise.randbytes(part))
            room -= part
        out.put(b"\nendstream\nendobj\n")
        start = out.at
        out.put(table)
        out.put(b"0000000000 65535 f \n")
        for number in range(1, objects):
            out.put(b"%010d 00000 n \n" % out.offsets[number])
        out.put(trailer % (objects, str(start).zfill(digits).encode()))
        assert out.at == size, (out.at, size)
    return shown
