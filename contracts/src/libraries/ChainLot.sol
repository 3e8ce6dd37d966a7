// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A block's hash as a lot: which block is fixed before its hash is known
/// @notice The EVM reads the hashes of the last 256 blocks. A lot that was fixed on block b and is read later is that
///         of the last block b + 256·j whose hash can be read: there is always exactly one, so a lot is never stuck,
///         and for 256 blocks nobody can choose by waiting. WARNING: who proposes block b can withhold it, at the
///         price of the block, and so has more than one try.
library ChainLot {
    uint256 internal constant REACH_BLOCKS = 256;
    /// @notice Between what fixes a lot and its block: the next block's hash may be known to its proposer already.
    uint256 internal constant DELAY_BLOCKS = 2;

    /// @notice The block of the lot now; `first` itself while it is not there yet.
    function blockOf(uint256 first) internal view returns (uint256) {
        if (block.number <= first) return first;
        return first + (block.number - 1 - first) / REACH_BLOCKS * REACH_BLOCKS;
    }

    /// @notice The hash of the lot's block; zero while it is not there yet.
    function hashOf(uint256 first) internal view returns (bytes32) {
        return blockhash(blockOf(first));
    }
}
