// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Scores: what a canonical model answers, packed big-endian int16
/// @notice Softmax and sigmoid are left to the reader and keep the order: the largest score is the most likely class.
library Scores {
    error UnexpectedOutput(uint256 expectedBytes, uint256 gotBytes);

    /// @notice Reverts unless `output` holds exactly `count` scores. An answer of another shape answers nothing.
    function requireCount(bytes calldata output, uint256 count) internal pure {
        if (output.length != 2 * count) revert UnexpectedOutput(2 * count, output.length);
    }

    /// @notice Score number `index`, from 0 on.
    function score(bytes calldata output, uint256 index) internal pure returns (int16) {
        return int16(uint16(bytes2(output[2 * index:2 * index + 2])));
    }

    /// @notice The position of the largest of exactly `count` scores; the first of equals.
    function indexOfLargest(bytes calldata output, uint256 count) internal pure returns (uint256 index) {
        requireCount(output, count);
        for (uint256 i = 1; i < count; ++i) {
            if (score(output, i) > score(output, index)) index = i;
        }
    }

    /// @notice Packs integers the way a canonical model takes them.
    function pack(int16[] memory values) internal pure returns (bytes memory input) {
        input = new bytes(2 * values.length);
        for (uint256 i; i < values.length; ++i) {
            uint16 word = uint16(values[i]);
            (input[2 * i], input[2 * i + 1]) = (bytes1(uint8(word >> 8)), bytes1(uint8(word)));
        }
    }
}
