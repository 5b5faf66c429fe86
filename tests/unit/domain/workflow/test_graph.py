"""The graph of tasks: duplicates, unknown names, cycles (against a simple oracle), order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import Fault
from app.domain.workflow.graph import Graph, downstream_of, graph_faults

MAX_NODES = 7


def tasks_of(upstream: dict[str, list[str]]) -> list[object]:
    return [{"name": name, "depends_on": names} for name, names in upstream.items()]


def test_graph_faults__a_cycle__is_told_at_each_dependency_in_it():
    found = list(graph_faults(tasks_of({"a": ["c"], "b": ["x", "a"], "c": ["b"], "x": [], "after": ["a"]})))
    detail = "a cycle of dependencies: a → c → b → a"
    assert found == [
        Fault("/tasks/0/depends_on/0", detail),
        Fault("/tasks/1/depends_on/1", detail),
        Fault("/tasks/2/depends_on/0", detail),
    ]


def test_graph_faults__two_cycles_that_share_a_task__are_told_together():
    found = list(graph_faults(tasks_of({"a": ["b", "c"], "b": ["a"], "c": ["a"]})))
    assert {fault.detail for fault in found} == {"part of a cycle of dependencies among 3 tasks: a, b, c"}
    assert len(found) == 4


def test_graph_faults__separate_cycles__are_each_told():
    found = list(graph_faults(tasks_of({"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]})))
    assert [fault.pointer for fault in found] == [f"/tasks/{index}/depends_on/0" for index in range(4)]


def test_graph_faults__names_and_dependencies_that_are_wrong__are_told():
    tasks = [*tasks_of({"build": [], "test": ["bild", "test", "build", "build"], "zebra": ["nothing"]}), {"name": "build"}]
    assert list(graph_faults(tasks)) == [
        Fault("/tasks/3/name", '"build" is the name of tasks/0 already'),
        Fault("/tasks/1/depends_on/0", 'there is no task "bild": did you mean "build"?'),
        Fault("/tasks/1/depends_on/1", '"test" depends on itself'),
        Fault("/tasks/1/depends_on/3", '"build" is given twice: once is enough'),
        Fault("/tasks/2/depends_on/0", 'there is no task "nothing"'),
    ]


def test_graph_faults__values_of_any_shape__are_passed_over():
    assert list(graph_faults([5, None, {"name": 5}, {"name": "a", "depends_on": "x"}, {"depends_on": [5, None, []]}])) == []


def test_graph_faults__a_chain_of_ten_thousand__needs_no_deep_stack():
    chain = {f"t{index}": [f"t{index + 1}"] for index in range(10_000)}
    assert list(graph_faults(tasks_of({**chain, "t10000": []}))) == []
    assert len(list(graph_faults(tasks_of({**chain, "t10000": ["t0"]})))) == 10_001


def test_graph_faults__thousands_of_unknown_names__each_has_its_suggestion():
    found = list(graph_faults(tasks_of({f"task-{index}": [f"tusk-{index}"] for index in range(5000)})))
    assert len(found) == 5000
    assert 'did you mean "task-0"' in found[0].detail
    assert 'did you mean "task-4999"' in found[-1].detail


graphs = st.integers(1, MAX_NODES).flatmap(
    lambda count: st.lists(
        st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda edge: edge[0] != edge[1]), max_size=14
    ).map(lambda edges: {f"t{node}": sorted({f"t{to}" for frm, to in edges if frm == node}) for node in range(count)})
)


def reaches(upstream: dict[str, list[str]], start: str, goal: str) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node == goal:
            return True
        if node not in seen:
            seen.add(node)
            waiting.extend(upstream[node])
    return False


@settings(max_examples=150, deadline=None)
@given(graphs)
def test_graph_faults__any_graph__tells_exactly_the_edges_that_lead_back(upstream):
    expected = {
        f"/tasks/{index}/depends_on/{item}"
        for index, (name, names) in enumerate(upstream.items())
        for item, to in enumerate(names)
        if reaches(upstream, to, name)
    }
    found = [fault.pointer for fault in graph_faults(tasks_of(upstream))]
    assert len(found) == len(set(found))
    assert set(found) == expected


@settings(max_examples=150, deadline=None)
@given(graphs)
def test_graph__is_upstream__is_what_can_be_reached(upstream):
    graph = Graph(tasks_of(upstream), [{"name": "exit"}, {"name": "last", "depends_on": ["exit"]}])
    for index, name in enumerate(upstream):
        for other in upstream:
            reached = any(reaches(upstream, near, other) for near in upstream[name])
            assert graph.is_upstream(other, index) == (other != name and reached)
        assert not graph.is_upstream("exit", index)
        assert graph.is_upstream(name, len(upstream))
    assert graph.is_upstream("exit", len(upstream) + 1)
    assert not graph.is_upstream("last", len(upstream))
    assert not graph.is_upstream("nobody", 0)


def test_graph__many_dependencies__are_all_upstream():
    upstream = {f"t{index}": [] for index in range(50)}
    graph = Graph(tasks_of({**upstream, "after": [*upstream], "last": ["after"]}))
    assert all(graph.is_upstream(name, 50) and graph.is_upstream(name, 51) for name in upstream)


def test_graph_faults__across_on_exit__are_told():
    found = graph_faults([{"name": "a", "depends_on": ["z"]}], [{"name": "z", "depends_on": ["a", "y", "a"]}, {"name": "y"}])
    assert [fault.pointer for fault in found] == [
        "/tasks/0/depends_on/0", "/on_exit/0/depends_on/0", "/on_exit/0/depends_on/2"
    ]  # fmt: skip


def test_downstream_of__a_diamond__is_in_document_order():
    diamond = {"a": (), "c": ("a",), "b": ("a",), "d": ("b", "c")}
    assert downstream_of(diamond) == {"a": ("c", "b"), "c": ("d",), "b": ("d",), "d": ()}
