#!/usr/bin/python3
"""Makes sample documents as PDF files in the prescribed form, and large annexes of any size.

  make_samples.py [--out DIR]                all samples and samples.json, their metadata
  make_samples.py --big BYTES [--out FILE]   one PDF of exactly BYTES bytes (suffixes K, M, G: 200M)

Needs python3-reportlab and fonts-liberation2, except for --big. The same call gives the same bytes."""
import argparse
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def byte_count(text):
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if not match:
        raise argparse.ArgumentTypeError("'%s' is no size; write 200M or 209715200" % text)
    return int(match.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30}[match.group(2)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="folder for the samples [./samples], or the file of --big [./phu-luc-lon.pdf]")
    parser.add_argument("--big", type=byte_count, metavar="BYTES", help="make one large annex instead")
    arguments = parser.parse_args()
    if arguments.big is not None:
        import big_pdf
        path = arguments.out or "phu-luc-lon.pdf"
        pages = big_pdf.write(path, arguments.big)
        print("%s: %d bytes, %d pages" % (path, arguments.big, pages))
        return 0
    try:
        import documents
    except ImportError:
        print("error: ReportLab is not installed\nhint: apt-get install python3-reportlab", file=sys.stderr)
        return 1
    folder = arguments.out or "samples"
    os.makedirs(folder, exist_ok=True)
    made = documents.make_all(folder)
    with open(os.path.join(folder, "samples.json"), "w", encoding="utf-8") as file:
        json.dump(made, file, ensure_ascii=False, indent=1)
        file.write("\n")
    for document in made:
        print("%-14s %s" % (document["code"], ", ".join(document["files"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
