// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title RFC 9162 Merkle tree proofs, SHA-256
/// @notice Verification as in sections 2.1.3.2 (inclusion) and 2.1.4.2 (consistency), with the two traps of the text
///         closed: sizes are at least 1 (the text accepts an empty root for an empty leaf, and anything from size 0),
///         and a proof longer or shorter than the one canonical length is refused.
library MerkleLog {
    error IndexOutOfRange(uint64 index, uint64 size);
    error SizeNotIncreasing(uint64 oldSize, uint64 newSize);
    error ProofTooShort();
    error ProofTooLong();
    error RootMismatch(bytes32 expected, bytes32 computed);

    /// @notice Reverts unless the leaf with `leafHash` stands at `index` in the tree of `size` leaves with `root`.
    function requireInclusion(bytes32 leafHash, uint64 index, uint64 size, bytes32[] calldata proof, bytes32 root)
        internal
        view
    {
        if (index >= size) revert IndexOutOfRange(index, size);
        uint256 node = index;
        uint256 last = size - 1;
        bytes32 hash = leafHash;
        for (uint256 i; i < proof.length; ++i) {
            if (last == 0) revert ProofTooLong();
            if (node & 1 == 1 || node == last) {
                hash = hashNode(proof[i], hash);
                (node, last) = _skipToRightChild(node, last);
            } else {
                hash = hashNode(hash, proof[i]);
            }
            (node, last) = (node >> 1, last >> 1);
        }
        if (last != 0) revert ProofTooShort();
        if (hash != root) revert RootMismatch(root, hash);
    }

    /// @notice Reverts unless the tree (newSize, newRoot) extends the tree (oldSize, oldRoot); 1 ≤ oldSize < newSize.
    function requireConsistency(
        uint64 oldSize,
        bytes32 oldRoot,
        uint64 newSize,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) internal view {
        if (oldSize == 0 || oldSize >= newSize) revert SizeNotIncreasing(oldSize, newSize);
        // A complete old tree is its own first proof node, so the proof leaves it out.
        bool isComplete = oldSize & (oldSize - 1) == 0;
        if (!isComplete && proof.length == 0) revert ProofTooShort();
        bytes32 seed = isComplete ? oldRoot : proof[0];
        (bytes32 oldHash, bytes32 newHash) = _foldConsistency(oldSize, newSize, seed, proof[isComplete ? 0 : 1:]);
        if (oldHash != oldRoot) revert RootMismatch(oldRoot, oldHash);
        if (newHash != newRoot) revert RootMismatch(newRoot, newHash);
    }

    /// @notice SHA-256(0x01 ‖ left ‖ right).
    function hashNode(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            // 65 bytes at the free pointer, which need not be kept.
            let ptr := mload(0x40)
            mstore8(ptr, 1)
            mstore(add(ptr, 1), left)
            mstore(add(ptr, 33), right)
            // Precompile 2 fails only for lack of gas; the hash would then be wrong, so stop.
            if iszero(staticcall(gas(), 2, ptr, 65, 0x00, 0x20)) { revert(0, 0) }
            hash := mload(0x00)
        }
    }

    /// @dev RFC 9162, 2.1.4.2, steps 2 to 6.
    function _foldConsistency(uint64 oldSize, uint64 newSize, bytes32 seed, bytes32[] calldata path)
        private
        view
        returns (bytes32 oldHash, bytes32 newHash)
    {
        (uint256 node, uint256 last) = (oldSize - 1, newSize - 1);
        while (node & 1 == 1) (node, last) = (node >> 1, last >> 1);
        (oldHash, newHash) = (seed, seed);
        for (uint256 i; i < path.length; ++i) {
            if (last == 0) revert ProofTooLong();
            if (node & 1 == 1 || node == last) {
                oldHash = hashNode(path[i], oldHash);
                newHash = hashNode(path[i], newHash);
                (node, last) = _skipToRightChild(node, last);
            } else {
                newHash = hashNode(newHash, path[i]);
            }
            (node, last) = (node >> 1, last >> 1);
        }
        if (last != 0) revert ProofTooShort();
    }

    /// @dev Levels on which the node has no sibling, because it is the last of an incomplete subtree, add no hash.
    function _skipToRightChild(uint256 node, uint256 last) private pure returns (uint256, uint256) {
        while (node & 1 == 0 && node != 0) (node, last) = (node >> 1, last >> 1);
        return (node, last);
    }
}
