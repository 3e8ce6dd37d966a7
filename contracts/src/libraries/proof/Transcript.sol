// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {MODULUS, STATE, TAU, load} from "./Memory.sol";

/// @title The Fiat–Shamir transcript: one Keccak-256 state (circuits/transcript.py)
/// @notice absorb: state ← keccak256(state ‖ 0x00 ‖ u32 length ‖ bytes). draw: state ← keccak256(state ‖ 0x01), read
///         modulo r.
library Transcript {
    /// @notice Absorbs `length` bytes of the calldata.
    function absorb(uint256 place, uint256 length) internal pure {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, mload(STATE))
            mstore(add(buffer, 0x20), shl(216, length))
            calldatacopy(add(buffer, 37), place, length)
            mstore(STATE, keccak256(buffer, add(length, 37)))
        }
    }

    /// @notice Absorbs the calldata from the position in one word to that in another.
    function absorbField(uint256 first, uint256 next) internal pure {
        unchecked {
            absorb(load(first), load(next) - load(first));
        }
    }

    /// @notice Absorbs the `length` leading bytes of one word.
    function absorbWord(bytes32 word, uint256 length) internal pure {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, mload(STATE))
            mstore(add(buffer, 0x20), shl(216, length))
            mstore(add(buffer, 37), word)
            mstore(STATE, keccak256(buffer, add(length, 37)))
        }
    }

    /// @notice Draws `count` challenges into the words from `to` on.
    function draw(uint256 to, uint256 count) internal pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            mstore(0x00, mload(STATE))
            mstore8(0x20, 1)
            for { let last := add(to, shl(5, count)) } lt(to, last) { to := add(to, 0x20) } {
                let state := keccak256(0x00, 33)
                mstore(0x00, state)
                mstore(to, mod(state, r))
            }
            mstore(STATE, mload(0x00))
        }
    }

    // ---- rounds of a sumcheck ---------------------------------------------------------------------------------

    /// @notice Rounds of the zero-check: messages c1 … cd of g, where the round polynomial is eq(τ_j, X)·g(X) and
    ///         c0 = claim − τ_j·Σc. The challenges go to `sigma`; returns what g is there in the end.
    /// @param place Calldata position of the messages, `degree` words a round.
    function zeroCheck(uint256 place, uint256 rounds, uint256 degree, uint256 sigma)
        internal
        pure
        returns (uint256 claim)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let buffer := mload(0x40)
            let size := shl(5, degree)
            let tau := TAU
            mstore(buffer, mload(STATE))
            for { let end := add(sigma, shl(5, rounds)) } lt(sigma, end) { sigma := add(sigma, 0x20) } {
                mstore(add(buffer, 0x20), shl(216, size))
                calldatacopy(add(buffer, 37), place, size)
                mstore(buffer, keccak256(buffer, add(size, 37)))
                mstore8(add(buffer, 0x20), 1)
                let x := keccak256(buffer, 33)
                mstore(buffer, x)
                x := mod(x, r)
                mstore(sigma, x)
                let word := add(place, sub(size, 0x20))
                let value := calldataload(word)
                let sum := value
                for {} gt(word, place) {} {
                    word := sub(word, 0x20)
                    let c := calldataload(word)
                    value := addmod(mulmod(value, x, r), c, r)
                    sum := addmod(sum, c, r)
                }
                let c0 := addmod(claim, sub(r, mulmod(mload(tau), sum, r)), r)
                claim := addmod(mulmod(value, x, r), c0, r)
                tau := add(tau, 0x20)
                place := add(place, size)
            }
            mstore(STATE, mload(buffer))
        }
    }

    /// @notice Rounds of a sumcheck of degree 2 or 3: messages c0, c2 (and c3); c1 makes the polynomial sum to the claim
    ///         over 0 and 1.
    function sumCheck(uint256 place, uint256 rounds, uint256 degree, uint256 claim, uint256 point)
        internal
        pure
        returns (uint256 end)
    {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let buffer := mload(0x40)
            let size := shl(5, degree)
            mstore(buffer, mload(STATE))
            for { let last := add(point, shl(5, rounds)) } lt(point, last) { point := add(point, 0x20) } {
                mstore(add(buffer, 0x20), shl(216, size))
                calldatacopy(add(buffer, 37), place, size)
                mstore(buffer, keccak256(buffer, add(size, 37)))
                mstore8(add(buffer, 0x20), 1)
                let x := keccak256(buffer, 33)
                mstore(buffer, x)
                x := mod(x, r)
                mstore(point, x)
                let c0 := calldataload(place)
                let c2 := calldataload(add(place, 0x20))
                let c3 := 0
                if gt(size, 0x40) { c3 := calldataload(add(place, 0x40)) }
                let known := addmod(addmod(c0, c0, r), addmod(c2, c3, r), r)
                let value := addmod(mulmod(c3, x, r), c2, r)
                value := addmod(mulmod(value, x, r), addmod(claim, sub(r, known), r), r)
                claim := addmod(mulmod(value, x, r), c0, r)
                place := add(place, size)
            }
            mstore(STATE, mload(buffer))
            end := claim
        }
    }
}
