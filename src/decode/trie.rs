//! Field paths compiled into a tree, so that one pass over a document fills every field at once.

use std::ops::Range;

use hashbrown::HashMap;

/// The tree of all paths read in one scope (the document, or one point of it). Node 0 is the scope itself.
#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    slots: u16,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    children: HashMap<Box<str>, u16>,
    /// Where this node's value is kept.
    pub slot: Option<u16>,
    /// The value's own digits are wanted, not only its number (times and keys).
    pub wants_text: bool,
    /// Slots of this node and everything below it.
    pub subtree: Range<u16>,
    pub points: Points,
    pub is_root: bool,
}

/// Where the array of points is, seen from a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Points {
    #[default]
    Elsewhere,
    Below,
    Here,
}

impl Node {
    #[inline]
    pub fn child(&self, name: &str) -> Option<u16> {
        self.children.get(name).copied()
    }

    /// Of the children, in order.
    pub fn names(&self) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> = self.children.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    #[inline]
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }
}

impl Trie {
    #[inline]
    pub fn node(&self, index: u16) -> &Node {
        &self.nodes[index as usize]
    }

    pub fn root(&self) -> &Node {
        self.node(0)
    }

    /// Number of slots; slots are numbered so that each subtree's are contiguous.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }
}

/// Collects paths, then numbers the slots.
#[derive(Debug)]
pub(super) struct TrieBuilder {
    trie: Trie,
    /// The node of each added field.
    fields: Vec<u16>,
}

impl TrieBuilder {
    pub fn new() -> Self {
        TrieBuilder {
            trie: Trie { nodes: vec![Node { is_root: true, ..Node::default() }], slots: 0 },
            fields: Vec::new(),
        }
    }

    /// Adds a field and returns its number for [`TrieBuilder::build`]. Equal paths share a slot.
    pub fn add(&mut self, path: &[String], wants_text: bool) -> u16 {
        let index = self.walk(path, |_| ());
        let node = &mut self.trie.nodes[index as usize];
        node.slot = Some(0);
        node.wants_text |= wants_text;
        self.fields.push(index);
        (self.fields.len() - 1) as u16
    }

    /// Marks the array whose elements are points.
    pub fn add_points(&mut self, path: &[String]) {
        let index = self.walk(path, |node| node.points = Points::Below);
        self.trie.nodes[index as usize].points = Points::Here;
    }

    /// The tree, and the slot of each added field.
    pub fn build(mut self) -> (Trie, Vec<u16>) {
        self.number(0);
        let slots =
            self.fields.iter().map(|&node| self.trie.nodes[node as usize].slot.unwrap_or(0)).collect();
        (self.trie, slots)
    }

    fn walk(&mut self, path: &[String], mut passing: impl FnMut(&mut Node)) -> u16 {
        let mut index = 0_u16;
        for name in path {
            let next = self.trie.nodes.len() as u16;
            let node = &mut self.trie.nodes[index as usize];
            passing(node);
            index = *node.children.entry(name.as_str().into()).or_insert(next);
            if index == next {
                self.trie.nodes.push(Node::default());
            }
        }
        index
    }

    fn number(&mut self, index: u16) {
        let first = self.trie.slots;
        if let Some(slot) = &mut self.trie.nodes[index as usize].slot {
            *slot = first;
            self.trie.slots += 1;
        }
        // Children are numbered in node order: the map's own order differs between runs.
        let mut children: Vec<u16> = self.trie.nodes[index as usize].children.values().copied().collect();
        children.sort_unstable();
        for child in children {
            self.number(child);
        }
        self.trie.nodes[index as usize].subtree = first..self.trie.slots;
    }
}
