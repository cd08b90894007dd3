//! Sets of paths, and their algebra.

use std::cmp::Ordering;
use std::fmt;

use super::element::Element;

/// A set of paths into an object: what a field manager owns.
///
/// Having a path says nothing of its parents or children: `.spec` may be owned without `.spec.replicas`, and
/// the reverse. The empty path, the whole object, is never in a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSet {
    /// In order of element, each at most once, and none without itself or a descendant being a member.
    nodes: Vec<Node>,
}

/// One element of a [`PathSet`] with what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) element: Element,
    /// Whether the path that ends here is in the set.
    pub(crate) member: bool,
    pub(crate) children: PathSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl PathSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of some paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    /// Adds a path; not its parents.
    pub fn insert(&mut self, path: &[Element]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.node_mut(first.clone());
            if rest.is_empty() {
                node.member = true;
            } else {
                node.children.insert(rest);
            }
        }
    }

    /// Whether exactly this path is in the set.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|children| children.contains(rest)),
        }
    }

    /// Every path in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.absorb(other);
        union
    }

    /// Every path in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut nodes = Vec::new();
        for (left, right) in Pairs::new(&self.nodes, &other.nodes) {
            if let (Some(left), Some(right)) = (left, right) {
                let member = left.member && right.member;
                let children = left.children.intersection(&right.children);
                if member || !children.is_empty() {
                    nodes.push(Node { element: left.element.clone(), member, children });
                }
            }
        }
        Self { nodes }
    }

    /// Whether any path is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        Pairs::new(&self.nodes, &other.nodes).any(|pair| match pair {
            (Some(left), Some(right)) => {
                left.member && right.member || left.children.intersects(&right.children)
            }
            _ => false,
        })
    }

    /// Whether every path in this set is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        Pairs::new(&self.nodes, &other.nodes).all(|pair| match pair {
            (Some(left), Some(right)) => {
                (!left.member || right.member) && left.children.is_subset(&right.children)
            }
            (left, _) => left.is_none(),
        })
    }

    /// Every path in this set that is not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract(other);
        difference
    }

    /// Adds every path of another set.
    pub fn absorb(&mut self, other: &Self) {
        if self.is_empty() {
            self.nodes.clone_from(&other.nodes);
            return;
        }
        let mut at = 0;
        for node in &other.nodes {
            at += self.nodes[at..].partition_point(|own| own.element < node.element);
            match self.nodes.get_mut(at) {
                Some(own) if own.element == node.element => {
                    own.member |= node.member;
                    own.children.absorb(&node.children);
                }
                _ => self.nodes.insert(at, node.clone()),
            }
        }
    }

    /// Removes every path of another set.
    pub fn subtract(&mut self, other: &Self) {
        self.remove_matching(other, |own, other| {
            own.member &= !other.member;
            own.children.subtract(&other.children);
        });
    }

    /// Removes every path of another set and all that lies below it.
    pub fn subtract_below(&mut self, other: &Self) {
        self.remove_matching(other, |own, other| {
            if other.member {
                own.member = false;
                own.children = PathSet::new();
            } else {
                own.children.subtract_below(&other.children);
            }
        });
    }

    /// Changes the nodes that both sets have, and drops those that are left empty.
    fn remove_matching(&mut self, other: &Self, remove: impl Fn(&mut Node, &Node)) {
        let mut at = 0;
        let mut emptied = false;
        for node in &other.nodes {
            at += self.nodes[at..].partition_point(|own| own.element < node.element);
            match self.nodes.get_mut(at) {
                Some(own) if own.element == node.element => {
                    remove(own, node);
                    emptied |= own.is_empty();
                }
                Some(_) => {}
                None => break,
            }
        }
        if emptied {
            self.nodes.retain(|node| !node.is_empty());
        }
    }

    /// The paths of this set that have no path of the set below them.
    pub fn leaves(&self) -> Self {
        let nodes = self
            .nodes
            .iter()
            .map(|node| Node {
                element: node.element.clone(),
                member: node.member && node.children.is_empty(),
                children: node.children.leaves(),
            })
            .collect();
        Self { nodes }
    }

    /// All paths: at each level first the members, then what lies below each element.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::with_capacity(self.len());
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Path>) {
        for node in self.nodes.iter().filter(|node| node.member) {
            let mut path = prefix.clone();
            path.push(node.element.clone());
            paths.push(Path(path));
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            prefix.push(node.element.clone());
            node.children.collect_paths(prefix, paths);
            prefix.pop();
        }
    }

    /// The nodes of the first level, in order.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, element: &Element) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.element.cmp(element)).ok().map(|index| &self.nodes[index])
    }

    /// Whether the path of this one element is a member.
    pub(crate) fn has(&self, element: &Element) -> bool {
        self.node(element).is_some_and(|node| node.member)
    }

    /// The paths that begin with an element, without it; none if there are none.
    pub(crate) fn below(&self, element: &Element) -> Option<&PathSet> {
        self.node(element).map(|node| &node.children).filter(|children| !children.is_empty())
    }

    /// Like [`PathSet::node`] for a field, without making an element of its name.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.nodes
            .binary_search_by(|node| match &node.element {
                Element::Field(field) => (**field).cmp(name),
                _ => Ordering::Greater,
            })
            .ok()
            .map(|index| &self.nodes[index])
    }

    /// Adds a node if it is not empty, merging it with the one of the same element.
    pub(crate) fn add(&mut self, element: Element, member: bool, children: PathSet) {
        if !member && children.is_empty() {
            return;
        }
        // Fields arrive in order most of the time.
        if self.nodes.last().is_none_or(|last| last.element < element) {
            self.nodes.push(Node { element, member, children });
            return;
        }
        let node = self.node_mut(element);
        node.member |= member;
        node.children.absorb(&children);
    }

    /// The node of an element, made if absent. The caller makes it a member or gives it children.
    fn node_mut(&mut self, element: Element) -> &mut Node {
        let index = match self.nodes.binary_search_by(|node| node.element.cmp(&element)) {
            Ok(index) => index,
            Err(index) => {
                self.nodes.insert(index, Node { element, member: false, children: PathSet::new() });
                index
            }
        };
        &mut self.nodes[index]
    }
}

/// A non-empty path into an object, displayed as `.spec.containers[name="a"].image`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Element>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

/// One path a line.
impl fmt::Display for PathSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths().iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            path.fmt(f)?;
        }
        Ok(())
    }
}

/// Two sorted lists of nodes side by side, those of the same element together.
struct Pairs<'a> {
    left: &'a [Node],
    right: &'a [Node],
}

impl<'a> Pairs<'a> {
    fn new(left: &'a [Node], right: &'a [Node]) -> Self {
        Self { left, right }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Option<&'a Node>, Option<&'a Node>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.left.first(), self.right.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.element.cmp(&right.element),
        };
        let mut left = None;
        let mut right = None;
        if order != Ordering::Greater {
            left = self.left.split_off_first();
        }
        if order != Ordering::Less {
            right = self.right.split_off_first();
        }
        Some((left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::path_set;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn set(paths: &[&[&str]]) -> PathSet {
        PathSet::of_fields(paths)
    }

    fn without_below(a: &PathSet, b: &PathSet) -> PathSet {
        let mut a = a.clone();
        a.subtract_below(b);
        a
    }

    #[test]
    fn a_path_says_nothing_of_its_parents_and_children() {
        let parent = set(&[&["a"]]);
        let child = set(&[&["a", "b"]]);
        assert_eq!(parent.difference(&child), parent);
        assert_eq!(child.difference(&parent), child);
        assert_eq!(parent.intersection(&child), PathSet::new());
        assert_eq!(parent.union(&child).len(), 2);
        assert_eq!(without_below(&child, &parent), PathSet::new());
        assert_eq!(without_below(&set(&[&["a"], &["a", "b", "c"]]), &child), parent);
        assert_eq!(parent.union(&child).leaves(), child);
    }

    #[test]
    fn paths_list_the_members_of_a_level_before_what_is_below() {
        let mut set = set(&[&["spec", "a", "x"], &["spec", "b"], &["status"]]);
        set.insert(&[Element::field("spec"), Element::key([("name", json!("c"))]), Element::field("image")]);
        assert_eq!(set.to_string(), ".status\n.spec.b\n.spec.a.x\n.spec[name=\"c\"].image");
    }

    proptest! {
        #[test]
        fn the_algebra_of_sets_holds(a in path_set(), b in path_set(), c in path_set()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
            prop_assert_eq!(a.union(&b).intersection(&c), a.intersection(&c).union(&b.intersection(&c)));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert_eq!(a.difference(&b).intersection(&b), PathSet::new());
            prop_assert_eq!(a.union(&b).difference(&b), a.difference(&b));
            prop_assert_eq!(a.union(&a), a.clone());
            prop_assert_eq!(a.union(&b).len() + a.intersection(&b).len(), a.len() + b.len());
            prop_assert_eq!(a.difference(&a), PathSet::new());
            prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
            prop_assert_eq!(a.is_subset(&b), a.difference(&b).is_empty());
            prop_assert!(a.is_subset(&a.union(&b)));
        }

        #[test]
        fn everything_below_can_be_removed_too(a in path_set(), b in path_set()) {
            let expected: Vec<Path> = a
                .paths()
                .into_iter()
                .filter(|path| !(1..=path.0.len()).any(|n| b.contains(&path.0[..n])))
                .collect();
            prop_assert_eq!(without_below(&a, &b).paths(), expected);
        }

        #[test]
        fn membership_agrees_with_the_operations(a in path_set(), b in path_set()) {
            for path in a.union(&b).paths() {
                let (in_a, in_b) = (a.contains(&path.0), b.contains(&path.0));
                prop_assert!(in_a || in_b);
                prop_assert_eq!(a.intersection(&b).contains(&path.0), in_a && in_b);
                prop_assert_eq!(a.difference(&b).contains(&path.0), in_a && !in_b);
            }
        }

        #[test]
        fn leaves_are_what_has_nothing_below(a in path_set()) {
            let all = a.paths();
            let expected: Vec<Path> = all
                .iter()
                .filter(|path| !all.iter().any(|other| other.0.len() > path.0.len() && other.0.starts_with(&path.0)))
                .cloned()
                .collect();
            let leaves = a.leaves();
            prop_assert_eq!(leaves.len(), expected.len());
            prop_assert!(expected.iter().all(|path| leaves.contains(&path.0)));
        }
    }
}
