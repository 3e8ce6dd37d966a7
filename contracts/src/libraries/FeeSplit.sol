// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who is paid, and how much
library FeeSplit {
    /// @notice A verifier named the zero address as somebody to be paid.
    error ZeroBeneficiary();

    /// @notice The addresses of `known`, then those of `added` that are not yet in it, in order, each once.
    /// @dev Quadratic; quorums are small and every address costs its signer's verification anyway.
    function merge(address[] memory known, address[] memory added) internal pure returns (address[] memory merged) {
        merged = new address[](known.length + added.length);
        uint256 count = known.length;
        for (uint256 i; i < count; ++i) {
            merged[i] = known[i];
        }
        for (uint256 i; i < added.length; ++i) {
            if (added[i] == address(0)) revert ZeroBeneficiary();
            if (!_contains(merged, count, added[i])) merged[count++] = added[i];
        }
        assembly ("memory-safe") {
            mstore(merged, count)
        }
    }

    /// @notice Equal shares in wei, rounded down; the first is owed the remainder on top.
    /// @dev `count` must not be zero.
    function split(uint256 feeWei, uint256 count) internal pure returns (uint256 firstWei, uint256 shareWei) {
        shareWei = feeWei / count;
        firstWei = feeWei - shareWei * (count - 1);
    }

    function _contains(address[] memory list, uint256 count, address wanted) private pure returns (bool) {
        for (uint256 i; i < count; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }
}
