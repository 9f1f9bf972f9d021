//! How rows are cut up for the device: windows of a tile, rows of a slot.

use crate::model::pyramid::Layout;

/// Of a block, in every kernel: `THREADS` of kernels/common.cuh.
pub(super) const THREADS: u32 = 128;
const WARPS: usize = 4;
/// Outputs of a panel.
const LANES: usize = 16;
/// Values of a row start on as many bytes.
pub(super) const ALIGNED: usize = 4;
/// Shared memory a block takes at most: two of them fit in a multiprocessor of the GPUs since A100.
const SHARED_BYTES_MAX: usize = 80 * 1024;

/// Windows a block of the kernel of this name takes. Wider ones share more loads of weights.
pub(super) const TILES: [(usize, &str); 3] = [(32, "forward_32"), (16, "forward_16"), (8, "forward_8")];

/// How rows of one pyramid go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Place in [`TILES`].
    pub tile: usize,
    pub shared_bytes: usize,
    /// f32 from row to row, up.
    pub stride: usize,
    /// f32 of a row, down.
    pub fields: usize,
    /// Rows that go together, at most.
    pub rows_max: usize,
}

impl Shape {
    /// `None` if a window is too wide for this device or for a slot.
    pub fn of(
        layout: &Layout,
        shared_bytes_max: usize,
        up_values: usize,
        down_values: usize,
    ) -> Option<Shape> {
        let most = shared_bytes_max.min(SHARED_BYTES_MAX);
        let bytes = |tile: usize| forward_shared_bytes(layout.dimension_max, TILES[tile].0);
        let tile = (0..TILES.len()).find(|tile| bytes(*tile) <= most)?;
        let stride = layout.width.next_multiple_of(ALIGNED);
        let fields = layout.fields();
        let rows_max = (up_values / stride).min(down_values / fields);
        let shape = Shape { tile, shared_bytes: bytes(tile), stride, fields, rows_max };
        (rows_max > 0).then_some(shape)
    }

    /// Windows of a block.
    pub fn tile_rows(&self) -> usize {
        TILES[self.tile].0
    }
}

/// What `forward` of kernels/forward.cu takes of a tile of windows of so many coordinates: their vectors and
/// projections, `STRIDE` values a coordinate, and each warp's nearest codes.
pub(super) fn forward_shared_bytes(dimension: usize, tile: usize) -> usize {
    let stride = if tile == 8 { tile } else { tile + 8 };
    (dimension + dimension.next_multiple_of(LANES)) * stride * 4 + WARPS * tile * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dimension_max: usize, width: usize) -> Layout {
        let levels = vec![[0; 16]; 4];
        Layout { levels, columns: 4, width, dimension_max, ..Layout::default() }
    }

    #[test]
    fn the_largest_tile_that_fits_is_taken() {
        let tile = |dimension, shared| {
            Shape::of(&layout(dimension, 256), shared, 1 << 20, 1 << 18).map(|shape| shape.tile_rows())
        };
        assert_eq!(tile(64, 48 * 1024), Some(32));
        assert_eq!(tile(192, 48 * 1024), Some(16));
        assert_eq!(tile(192, 164 * 1024), Some(32));
        assert_eq!(tile(640, 64 * 1024), Some(8));
        assert_eq!(tile(640, 32 * 1024), None);
    }

    #[test]
    fn rows_fit_a_slot_both_ways() {
        let shape = Shape::of(&layout(64, 254), 48 * 1024, 1 << 20, 1 << 18).unwrap();
        assert_eq!((shape.stride, shape.fields, shape.rows_max), (256, 20, 4096));
        assert_eq!(Shape::of(&layout(64, 254), 48 * 1024, 1 << 20, 2000).unwrap().rows_max, 100);
        assert_eq!(Shape::of(&layout(64, 254), 48 * 1024, 255, 2000), None);
    }
}
