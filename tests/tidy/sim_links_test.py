"""The simulator runs what the daemons run: tram-sim, tram-node and tram-broker link the same archives of the pure rooms,
and the simulator brings no sources but its own. Read from build.ninja in $TRAM_BUILD_DIR, or build/dev."""
import os
import re
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TRAM_BUILD_DIR") or os.path.join(TOP, "build", "dev")
ROOMS = ("base", "proto", "crypto", "directory", "audit", "broker", "node")
# What surrounds the steps of a node: answered by the simulator's clerks instead.
AROUND = {"node/libtram_node_api.a", "node/libtram_node_http.a"}


def links(program):
    """Object files and our archives in the link line of a program; None when the build has no such program."""
    path = os.path.join(BUILD, "build.ninja")
    with open(path, encoding="utf-8") as ninja:
        text = ninja.read()
    found = re.search(r"^build bin/%s[ :].*?(?=^build |\Z)" % re.escape(program), text, re.M | re.S)
    if not found:
        return None
    block = found.group(0)
    inputs = block.split(": ", 1)[1].split("\n", 1)[0].split(" | ")[0]
    objects = [word for word in inputs.split() if word.endswith(".o")]
    line = re.search(r"^  LINK_LIBRARIES = (.*)$", block, re.M).group(1)
    archives = {word for word in line.split() if re.fullmatch(r"(%s|tests)/libtram_\w+\.a" % "|".join(ROOMS), word)}
    return objects, archives


def pure(archives):
    return {one for one in archives if not one.endswith("_io.a") and not one.startswith("tests/")} - AROUND


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "build.ninja")), "nothing is configured in %s" % BUILD)
class SimulatorLinks(unittest.TestCase):
    def test_the_same_archives(self):
        sim, node, broker = links("tram-sim"), links("tram-node"), links("tram-broker")
        for name, one in (("tram-sim", sim), ("tram-node", node), ("tram-broker", broker)):
            self.assertIsNotNone(one, "%s is not in the build" % name)
        self.assertEqual(pure(sim[1]), pure(node[1]) | pure(broker[1]))
        for room in ROOMS:
            self.assertTrue(any(one.startswith(room + "/") for one in pure(sim[1])), "tram-sim links nothing of %s/" % room)

    def test_no_other_sources(self):
        objects, archives = links("tram-sim")
        strange = [one for one in objects if not re.match(r"tests/sim/CMakeFiles/tram-sim\.dir/\w+\.cpp\.o$", one)]
        self.assertEqual(strange, [])
        self.assertEqual([one for one in archives if one.endswith("_io.a")], [], "the simulator touches no world")
        with_sources = [one for one in os.listdir(os.path.join(TOP, "tests", "sim")) if one.endswith(".cpp")]
        self.assertGreater(len(with_sources), 5)


if __name__ == "__main__":
    unittest.main()
