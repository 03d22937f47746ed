"""The prescribed form of documents, drawn with ReportLab: Decree 30/2020/NĐ-CP Annex I for State bodies (and, by analogy,
the Front), Guide 05-HD/VPTW for Party bodies. A4; margins 20/20/30/17 mm; body 14 pt, justified, first line in 12.7 mm;
page number at the top, in the middle, not on the first page. Liberation Serif stands in for Times New Roman (same
widths). Output is deterministic. Signature and stamp are drawn marks that say MẪU; no real seal is imitated."""
import os

from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (BaseDocTemplate, Flowable, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, Table,
                                TableStyle)

FONTS = "/usr/share/fonts/truetype/liberation2/LiberationSerif-%s.ttf"
LEFT, RIGHT, TOP, BOTTOM = 30 * mm, 17 * mm, 20 * mm, 20 * mm
WIDTH = A4[0] - LEFT - RIGHT
RED, BLUE, GREY = (0.85, 0.05, 0.05), (0.05, 0.15, 0.6), (0.45, 0.45, 0.45)
DISCLAIMER = "Văn bản mẫu dùng để thử phần mềm – không có giá trị pháp lý"


def register_fonts():
    if not os.path.exists(FONTS % "Regular"):
        raise SystemExit("error: Liberation Serif 2 is not installed\nhint: apt-get install fonts-liberation2")
    for name, file in (("Serif", "Regular"), ("Serif-Bold", "Bold"), ("Serif-Italic", "Italic"),
                       ("Serif-BoldItalic", "BoldItalic")):
        pdfmetrics.registerFont(TTFont(name, FONTS % file))
    pdfmetrics.registerFontFamily("Serif", normal="Serif", bold="Serif-Bold", italic="Serif-Italic",
                                  boldItalic="Serif-BoldItalic")


def style(size, align=TA_CENTER, font="Serif", **more):
    return ParagraphStyle("s", fontName=font, fontSize=size, leading=more.pop("leading", size * 1.2), alignment=align, **more)


def center(text, size, font="Serif", **more):
    return Paragraph(text, style(size, TA_CENTER, font, **more))


def left(text, size, font="Serif", **more):
    return Paragraph(text, style(size, TA_LEFT, font, **more))


def body(text, size=14):
    """A paragraph of the content: justified, first line indented, 6 pt apart."""
    return Paragraph(text, style(size, TA_JUSTIFY, leading=size * 1.27, firstLineIndent=12.7 * mm, spaceBefore=6))


def ground(text):
    """A legal ground: italic."""
    return Paragraph(text, style(14, TA_JUSTIFY, "Serif-Italic", leading=18.2, firstLineIndent=12.7 * mm, spaceBefore=4))


def heading(text):
    paragraph = body("<b>%s</b>" % text)
    paragraph.keepWithNext = True
    return paragraph


class Rule(Flowable):
    """A straight line in the middle of its column."""

    def __init__(self, width, gap=2):
        super().__init__()
        self.length, self.gap = width, gap

    def wrap(self, available_width, available_height):
        self.room = available_width
        return available_width, self.gap + 1

    def draw(self):
        x = (self.room - self.length) / 2
        self.canv.setLineWidth(0.7)
        self.canv.line(x, 1, x + self.length, 1)


class Urgency(Flowable):
    """Dấu chỉ độ khẩn: bold red capitals, 13 pt, in one red frame of the prescribed size."""

    SIZES = {"HỎA TỐC": (30, 8), "THƯỢNG KHẨN": (40, 8), "KHẨN": (20, 8)}

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.w, self.h = (side * mm for side in self.SIZES[text])

    def wrap(self, available_width, available_height):
        self.room = available_width
        return available_width, self.h + 6

    def draw(self):
        c, x = self.canv, (self.room - self.w) / 2
        c.setStrokeColorRGB(*RED)
        c.setFillColorRGB(*RED)
        c.setLineWidth(1.2)
        c.rect(x, 0, self.w, self.h)
        c.setFont("Serif-Bold", 13)
        c.drawCentredString(x + self.w / 2, self.h / 2 - 4.4, self.text)


class Signed(Flowable):
    """The signer's mark (blue) and the organisation's (red, over the left third of it)."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def wrap(self, available_width, available_height):
        self.room = available_width
        return available_width, 26 * mm

    def draw(self):
        c, middle = self.canv, self.room / 2
        c.setStrokeColorRGB(*BLUE)
        c.setLineWidth(1.3)
        path = c.beginPath()
        x, y = middle - 17 * mm, 11 * mm
        path.moveTo(x, y)
        for dx, dy, bend in ((6, 5, 9), (3, -7, -6), (7, 7, 8), (4, -6, -7), (8, 4, 6), (9, -1, -3)):
            path.curveTo(x + dx * mm / 3, y + bend * mm, x + 2 * dx * mm / 3, y + (dy - bend / 2) * mm, x + dx * mm, y + dy * mm)
            x, y = x + dx * mm, y + dy * mm
        c.drawPath(path)
        c.saveState()
        c.setStrokeColorRGB(*RED)
        c.setFillColorRGB(*RED)
        c.setStrokeAlpha(0.8)
        c.setFillAlpha(0.8)
        c.translate(middle - 19 * mm, 13 * mm)
        c.setLineWidth(1.4)
        c.circle(0, 0, 12 * mm)
        c.setLineWidth(0.6)
        c.circle(0, 0, 10.6 * mm)
        c.setFont("Serif-Bold", 15)
        c.drawCentredString(0, -1, "MẪU")
        c.setFont("Serif", 6)
        c.drawCentredString(0, -9, "DẤU MINH HỌA")
        c.restoreState()


class Note(Flowable):
    """What the organisation's signature shows on a separate annex: 10 pt, top right (Annex I, part II, point 8)."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def wrap(self, available_width, available_height):
        self.room = available_width
        return available_width, 10

    def draw(self):
        self.canv.setFont("Serif", 10)
        self.canv.drawRightString(self.room, 6, self.text)


def columns(left_side, right_side, share=0.41):
    rows = Table([[left_side, right_side]], colWidths=[WIDTH * share, WIDTH * (1 - share)])
    rows.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0),
                              ("RIGHTPADDING", (0, 0), (-1, -1), 0), ("TOPPADDING", (0, 0), (-1, -1), 0),
                              ("BOTTOMPADDING", (0, 0), (-1, -1), 0)]))
    return rows


def wide(text, font, size):
    return pdfmetrics.stringWidth(text, font, size)


def state_head(superior, issuer, number, place_date, about=None, urgency=None):
    """Ô 1, 2, 3, 4, 5b, 10: State bodies and the Front. `about` only for a công văn."""
    motto = "Độc lập - Tự do - Hạnh phúc"
    left_side = [center(line, 13) for line in superior] + [center(line, 13, "Serif-Bold") for line in issuer]
    left_side.append(Rule(wide(issuer[-1], "Serif-Bold", 13) * 0.42))
    right_side = [center("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", 12.5, "Serif-Bold", leading=15.6),
                  center(motto, 13.5, "Serif-Bold"), Rule(wide(motto, "Serif-Bold", 13.5), 3)]
    # Number and date stand on one line, whichever column above is taller.
    story = [columns(left_side, right_side), Spacer(1, 6)]
    second = [center("Số: %s" % number, 13)]
    if about:
        second += [Spacer(1, 6), center("V/v " + about, 12, leading=14.4)]
    if urgency:
        second += [Spacer(1, 8), Urgency(urgency)]
    return story + [columns(second, [center("<i>%s</i>" % place_date, 13.5)]), Spacer(1, 10)]


def party_head(superior, issuer, number, place_date, about=None, urgency=None):
    """Party bodies: the Party's name on the right, a star under the issuer, "Số" without a colon."""
    title = "ĐẢNG CỘNG SẢN VIỆT NAM"
    left_side = [center(line, 14) for line in superior] + [center(line, 14, "Serif-Bold") for line in issuer]
    left_side += [center("*", 14), center("Số %s" % number, 14)]
    if about:
        left_side += [Spacer(1, 4), center("<i>%s</i>" % about, 12, leading=14.4)]
    if urgency:
        left_side += [Spacer(1, 8), Urgency(urgency)]
    right_side = [center(title, 15, "Serif-Bold"), Rule(wide(title, "Serif-Bold", 15), 3), Spacer(1, 12),
                  center("<i>%s</i>" % place_date, 14)]
    return [columns(left_side, right_side, 0.5), Spacer(1, 14)]


def state_title(kind, about):
    lines = about.split("\n")
    longest = max(wide(line, "Serif-Bold", 14) for line in lines)
    return [center(kind, 14, "Serif-Bold", spaceBefore=6)] + [center(line, 14, "Serif-Bold", leading=17) for line in lines] + \
           [Rule(longest * 0.4, 3), Spacer(1, 8)]


def party_title(kind, about):
    return [center(kind, 16, "Serif-Bold", spaceBefore=8)] + \
           [center(line, 14.5, "Serif-Bold", leading=18) for line in about.split("\n")] + [center("-----", 14), Spacer(1, 6)]


def addressees(names):
    """Kính gửi: one on the same line; several one a line, dashed, closed by semicolons and a full stop."""
    if len(names) == 1:
        return [center("Kính gửi: %s" % names[0], 14), Spacer(1, 6)]
    indent = 45 * mm
    lines = [Paragraph("Kính gửi:", style(14, TA_LEFT, leftIndent=indent - 16 * mm, leading=18))]
    for number, name in enumerate(names):
        end = "." if number == len(names) - 1 else ";"
        lines.append(Paragraph("- %s%s" % (name, end), style(14, TA_LEFT, leftIndent=indent + 3 * mm, firstLineIndent=-3 * mm,
                                                             leading=18)))
    return lines + [Spacer(1, 6)]


def close(story, receivers, authority, position, name, number, party=False):
    """Ô 7a-7c, 8, 9b: recipients on the left, the signer on the right, added to `story`. They stay together with the
    last paragraph of the content, so that no page carries a signature alone."""
    left_side = [left("<u>Nơi nhận:</u>", 14) if party else left("Nơi nhận:", 12, "Serif-BoldItalic")]
    for index, line in enumerate(receivers):
        end = "." if index == len(receivers) - 1 else "," if party else ";"
        left_side.append(left("- %s%s" % (line, end), 12 if party else 11, leftIndent=2.2 * mm, firstLineIndent=-2.2 * mm))
    right_side = [center(line, 14, "Serif-Bold") for line in authority]
    right_side += [center(line, 14, "Serif" if party else "Serif-Bold") for line in position]
    right_side += [Spacer(1, 4), Signed(number), Spacer(1, 2), center(name, 14, "Serif-Bold")]
    story.append(KeepTogether([story.pop(), Spacer(1, 12), columns(left_side, right_side, 0.47)]))


def annex_head(label, title, reference):
    lines = title.split("\n")
    return [center(label, 14, "Serif-Bold")] + [center(line, 14, "Serif-Bold", leading=17) for line in lines] + \
           [center("<i>%s</i>" % reference, 13.5, leading=16.5, spaceBefore=2),
            Rule(max(wide(line, "Serif-Bold", 14) for line in lines) * 0.4, 4), Spacer(1, 10)]


def grid(head, rows, widths, size=12, centered=(0,)):
    """A table of an annex: head row repeated on every page."""
    cells = [[center(text, size, "Serif-Bold") for text in head]]
    for row in rows:
        cells.append([center(text, size) if column in centered else left(text, size) for column, text in enumerate(row)])
    table = Table(cells, colWidths=[part * WIDTH / sum(widths) for part in widths], repeatRows=1)
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, "black"), ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                               ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
                               ("LEFTPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-1, -1), 3)]))
    return table


def write(path, title, author, story, footer=None):
    """Lays the story out and writes the PDF (1.4 or later). `footer`: lines under a rule on the first page."""
    def page(canvas, document):
        canvas.saveState()
        if document.page > 1:
            canvas.setFont("Serif", 14)
            canvas.drawCentredString(A4[0] / 2, A4[1] - 14 * mm, str(document.page))
        elif footer:
            canvas.setLineWidth(0.5)
            canvas.line(LEFT, 18.6 * mm, A4[0] - RIGHT, 18.6 * mm)
            canvas.setFont("Serif", 11)
            for number, line in enumerate(footer):
                canvas.drawCentredString(A4[0] / 2, 14.4 * mm - number * 13, line)
        canvas.setFont("Serif-Italic", 8)
        canvas.setFillColorRGB(*GREY)
        canvas.drawCentredString(A4[0] / 2, 5 * mm, DISCLAIMER)
        canvas.restoreState()

    document = BaseDocTemplate(path, pagesize=A4, invariant=1, title=title, author=author, subject=DISCLAIMER,
                               creator="Trạm", lang="vi-VN", pageCompression=1)
    frame = Frame(LEFT, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate(id="page", frames=[frame], onPage=page)])
    document.build(story)
