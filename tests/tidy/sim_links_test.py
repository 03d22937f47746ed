"""The simulator runs what the daemons run: tram-sim, tram-node and tram-broker link the same archives of the pure rooms,
and the simulator brings no code but its own, neither as sources nor as functions that stand in for ours. tram-sim-real is
tram-sim without the one file that stands in for libsodium's slow primitives. Read from build.ninja and the programs in $TRAM_BUILD_DIR, or build/dev."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import symbols  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TRAM_BUILD_DIR") or os.path.join(TOP, "build", "dev")
ROOMS = ("base", "proto", "crypto", "directory", "audit", "broker", "node")
# What surrounds the steps of a node: answered by the simulator's clerks instead.
AROUND = {"node/libtram_node_api.a", "node/libtram_node_http.a"}
STAND_IN = "tests/sim/CMakeFiles/tram-sim.dir/keyed_hash_suite.cpp.o"
SIM_STORE = "tests/libtram_sim_store.a"


def edge(text, output):
    """(inputs, lines of settings) of the build edge that makes `output`; None when there is none."""
    found = re.search(r"^build %s[ :].*?(?=^build |\Z)" % re.escape(output), text, re.M | re.S)
    if not found:
        return None
    block = found.group(0)
    # "$:" and "$ " are escapes inside a path; inputs end where the implicit ones begin.
    inputs = re.split(r"(?<!\$): ", block, maxsplit=1)[1].split("\n", 1)[0].split(" | ")[0].split(" || ")[0]
    return inputs.split()[1:], block


def links(text, program):
    """Object files and our archives in the link line of a program; None when the build has no such program."""
    made = edge(text, "bin/" + program)
    if not made:
        return None
    inputs, block = made
    objects = [word for word in inputs if word.endswith(".o")]
    line = re.search(r"^  LINK_LIBRARIES = (.*)$", block, re.M)
    words = line.group(1).split() if line else []
    return objects, {word for word in words if re.fullmatch(r"(%s|tests)/(\w+/)*libtram_\w+\.a" % "|".join(ROOMS), word)}


def pure(archives):
    return {one for one in archives if not one.endswith("_io.a") and not one.startswith("tests/")} - AROUND


def violations(text):
    """Everything that is wrong with the link lines, as lines of text."""
    sim, node, broker = (links(text, name) for name in ("tram-sim", "tram-node", "tram-broker"))
    for name, one in (("tram-sim", sim), ("tram-node", node), ("tram-broker", broker)):
        if one is None:
            return ["%s is not in the build" % name]
    bad = []
    for one in sorted(pure(sim[1]) ^ (pure(node[1]) | pure(broker[1]))):
        bad.append("%s is not in both the simulator and a daemon" % one)
    for room in ROOMS:
        if not any(one.startswith(room + "/") for one in pure(sim[1])):
            bad.append("tram-sim links nothing of %s/" % room)
    if not sim[0]:
        bad.append("tram-sim has no sources of its own")
    for one in sim[0]:
        if not re.fullmatch(r"tests/sim/CMakeFiles/tram_sim_parts\.dir/(\w+\.cpp|Unity/unity_\d+_cxx\.cxx)\.o", one) and one != STAND_IN:
            bad.append("tram-sim compiles %s" % one)
    real = links(text, "tram-sim-real")
    if real is None:
        bad.append("tram-sim-real is not in the build")
    elif sorted(real[0]) != sorted(set(sim[0]) - {STAND_IN}) or real[1] != sim[1]:
        bad.append("tram-sim-real is not tram-sim with libsodium's own primitives")
    for one in sorted(sim[1]):
        if one.endswith("_io.a"):
            bad.append("tram-sim links %s: it touches no world" % one)
        if one.startswith("tests/") and one != SIM_STORE:
            bad.append("tram-sim links %s" % one)
    store = edge(text, SIM_STORE)
    if SIM_STORE in sim[1] and (not store or [one for one in store[0] if not one.endswith("/sim/mem_store.cpp.o")]):
        bad.append("%s holds more than the store" % SIM_STORE)
    return bad


def foreign_functions(obj):
    """Our functions that an object file of the simulator defines outside tram::sim: they would stand in for the shipped."""
    names = symbols.defined_functions(obj, "tram::")
    return sorted(one for one in names if not one.startswith("tram::sim::"))


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "build.ninja")), "nothing is configured in %s" % BUILD)
class SimulatorLinks(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(BUILD, "build.ninja"), encoding="utf-8") as ninja:
            self.text = ninja.read()

    def test_the_same_code(self):
        self.assertEqual(violations(self.text), [])

    def test_no_stand_ins(self):
        objects, _ = links(self.text, "tram-sim")
        built = [os.path.join(BUILD, one) for one in objects if os.path.exists(os.path.join(BUILD, one))]
        if not built:
            self.skipTest("tram-sim is not built in %s" % BUILD)
        self.assertEqual(len(built), len(objects), "tram-sim is half built")
        for one in built:
            self.assertEqual(foreign_functions(one), [], os.path.basename(one))

    def test_no_source_is_included(self):
        folder = os.path.join(TOP, "tests", "sim")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as source:
                self.assertNotRegex(source.read(), r'#\s*include\s*["<][^">]*\.(cpp|cc|inc)[">]', name)


class Planted(unittest.TestCase):
    """Each fault is made in a small build file: the check names it."""

    def build(self, sim_objects="tests/sim/CMakeFiles/tram_sim_parts.dir/world.cpp.o", sim_more="", real_objects=None,
              store="tests/CMakeFiles/tram_sim_store.dir/sim/mem_store.cpp.o", node_more=""):
        pure_archives = " ".join("%s/libtram_%s.a" % (room, room) for room in ROOMS)
        return (
            "build bin/tram-sim: CXX_EXECUTABLE_LINKER %s | %s || order\n  LINK_LIBRARIES = %s  %s %s -lsodium\n\n"
            "build bin/tram-sim-real: CXX_EXECUTABLE_LINKER %s\n  LINK_LIBRARIES = %s  %s %s -lsodium\n\n"
            "build bin/tram-node: CXX_EXECUTABLE_LINKER node/x.cpp.o | y\n  LINK_LIBRARIES = %s base/libtram_base_io.a %s\n\n"
            "build bin/tram-broker: CXX_EXECUTABLE_LINKER broker/x.cpp.o\n  LINK_LIBRARIES = %s\n\n"
            "build %s: CXX_STATIC_LIBRARY_LINKER %s\n  FLAGS = x\n"
            % (sim_objects + " " + STAND_IN, pure_archives, pure_archives, SIM_STORE, sim_more,
               sim_objects if real_objects is None else real_objects, pure_archives, SIM_STORE, sim_more,
               pure_archives, node_more, pure_archives, SIM_STORE, store)
        )

    def test_a_good_build(self):
        self.assertEqual(violations(self.build()), [])

    def test_another_source(self):
        for other in ("tests/sim/CMakeFiles/tram-sim.dir/__/__/node/inbox.cpp.o", "node/CMakeFiles/tram_node.dir/inbox.cpp.o"):
            self.assertEqual(violations(self.build(sim_objects=other)), ["tram-sim compiles %s" % other])

    def test_another_program_with_real_cryptography(self):
        for other in ("tests/sim/CMakeFiles/tram_sim_parts.dir/host.cpp.o", STAND_IN):
            self.assertEqual(violations(self.build(real_objects=other)), ["tram-sim-real is not tram-sim with libsodium's own primitives"])

    def test_another_source_in_the_store(self):
        more = "tests/CMakeFiles/tram_sim_store.dir/sim/mem_store.cpp.o tests/CMakeFiles/tram_sim_store.dir/__/node/inbox.cpp.o"
        self.assertEqual(violations(self.build(store=more)), ["%s holds more than the store" % SIM_STORE])

    def test_another_library(self):
        self.assertEqual(violations(self.build(sim_more="node/libtram_node_model.a")),
                         ["node/libtram_node_model.a is not in both the simulator and a daemon"])
        self.assertEqual(violations(self.build(node_more="node/libtram_node_fast.a")),
                         ["node/libtram_node_fast.a is not in both the simulator and a daemon"])
        self.assertEqual(violations(self.build(sim_more="base/libtram_base_io.a")),
                         ["tram-sim links base/libtram_base_io.a: it touches no world"])
        self.assertEqual(violations(self.build(sim_more="tests/libtram_other.a")), ["tram-sim links tests/libtram_other.a"])

    def test_no_simulator(self):
        self.assertEqual(violations(self.build().replace("tram-sim:", "tram-six:")), ["tram-sim is not in the build"])


if __name__ == "__main__":
    unittest.main()
