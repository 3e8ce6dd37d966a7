// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Drawing by lot, without replacement
/// @notice The k-th draw takes one of the n seats that are left, number keccak256(seed, k) mod n. Of 2^256 values
///         modulo at most 256 none is more likely than another by more than 2^-248, so nothing is drawn again.
library Sortition {
    error TooFewSeats(uint256 wanted, uint256 got);

    /// @notice `size` distinct bits of `bitmap`, every set of so many equally likely, in the order of the draw.
    function draw(uint256 bitmap, bytes32 seed, uint256 size) internal pure returns (uint8[] memory seats) {
        uint256 count = countBits(bitmap);
        if (size > count) revert TooFewSeats(size, count);
        seats = new uint8[](size);
        for (uint256 k; k < size; ++k) {
            uint8 seat = _nthBit(bitmap, uint256(keccak256(abi.encode(seed, k))) % (count - k));
            seats[k] = seat;
            bitmap &= ~(uint256(1) << seat);
        }
    }

    /// @notice How many bits are set.
    function countBits(uint256 bitmap) internal pure returns (uint256 count) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++count;
        }
    }

    /// @dev The index of the set bit that has `n` set bits below it. There must be one.
    function _nthBit(uint256 bitmap, uint256 n) private pure returns (uint8 index) {
        for (; n != 0; --n) {
            bitmap &= bitmap - 1;
        }
        for (; bitmap & 1 == 0; bitmap >>= 1) {
            ++index;
        }
    }
}
