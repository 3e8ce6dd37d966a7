// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";

/// @title The Fiat–Shamir transcript: one Keccak-256 state (circuits/transcript.py)
/// @notice absorb: state ← keccak256(state ‖ 0x00 ‖ u32 length ‖ bytes). draw: state ← keccak256(state ‖ 0x01), read
///         modulo r.
library Transcript {
    /// @notice Absorbs `length` bytes of the calldata.
    function absorb(uint256 state, uint256 place, uint256 length) internal pure returns (uint256 next) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, state)
            mstore(add(buffer, 0x20), shl(216, length))
            calldatacopy(add(buffer, 37), place, length)
            next := keccak256(buffer, add(length, 37))
        }
    }

    /// @notice Absorbs the `length` leading bytes of one word.
    function absorbWord(uint256 state, bytes32 word, uint256 length) internal pure returns (uint256 next) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, state)
            mstore(add(buffer, 0x20), shl(216, length))
            mstore(add(buffer, 37), word)
            next := keccak256(buffer, add(length, 37))
        }
    }

    function draw(uint256 state) internal pure returns (uint256 next, uint256 challenge) {
        assembly ("memory-safe") {
            mstore(0x00, state)
            mstore8(0x20, 1)
            next := keccak256(0x00, 33)
            challenge := mod(next, R)
        }
    }

    // ---- rounds of a sumcheck ---------------------------------------------------------------------------------

    /// @notice Rounds of the zero-check: messages c1 … cd of g, where the round polynomial is eq(τ_j, X)·g(X) and
    ///         c0 = claim − τ_j·Σc. The challenges go to `sigma`; returns what g is there in the end.
    /// @param place Calldata position of the messages, `degree` words a round.
    /// @param tau Memory position of τ, one word a round.
    function zeroCheck(uint256 state, uint256 place, uint256 rounds, uint256 degree, uint256 tau, uint256 sigma)
        internal
        pure
        returns (uint256 next, uint256 claim)
    {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let size := shl(5, degree)
            for { let end := add(sigma, shl(5, rounds)) } lt(sigma, end) { sigma := add(sigma, 0x20) } {
                mstore(buffer, state)
                mstore(add(buffer, 0x20), shl(216, size))
                calldatacopy(add(buffer, 37), place, size)
                mstore(buffer, keccak256(buffer, add(size, 37)))
                mstore8(add(buffer, 0x20), 1)
                state := keccak256(buffer, 33)
                let r := mod(state, R)
                mstore(sigma, r)
                let word := add(place, sub(size, 0x20))
                let value := calldataload(word)
                let sum := value
                for {} gt(word, place) {} {
                    word := sub(word, 0x20)
                    let c := calldataload(word)
                    value := addmod(mulmod(value, r, R), c, R)
                    sum := addmod(sum, c, R)
                }
                let c0 := addmod(claim, sub(R, mulmod(mload(tau), sum, R)), R)
                claim := addmod(mulmod(value, r, R), c0, R)
                tau := add(tau, 0x20)
                place := add(place, size)
            }
            next := state
        }
    }

    /// @notice Rounds of a sumcheck of degree 2 or 3: messages c0, c2 (and c3); c1 makes the polynomial sum to the claim
    ///         over 0 and 1.
    function sumCheck(uint256 state, uint256 place, uint256 rounds, uint256 degree, uint256 claim, uint256 point)
        internal
        pure
        returns (uint256 next, uint256 end)
    {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let size := shl(5, degree)
            for { let last := add(point, shl(5, rounds)) } lt(point, last) { point := add(point, 0x20) } {
                mstore(buffer, state)
                mstore(add(buffer, 0x20), shl(216, size))
                calldatacopy(add(buffer, 37), place, size)
                mstore(buffer, keccak256(buffer, add(size, 37)))
                mstore8(add(buffer, 0x20), 1)
                state := keccak256(buffer, 33)
                let r := mod(state, R)
                mstore(point, r)
                let c0 := calldataload(place)
                let c2 := calldataload(add(place, 0x20))
                let c3 := 0
                if gt(size, 0x40) { c3 := calldataload(add(place, 0x40)) }
                let known := addmod(addmod(c0, c0, R), addmod(c2, c3, R), R)
                let value := addmod(mulmod(c3, r, R), c2, R)
                value := addmod(mulmod(value, r, R), addmod(claim, sub(R, known), R), R)
                claim := addmod(mulmod(value, r, R), c0, R)
                place := add(place, size)
            }
            next := state
            end := claim
        }
    }
}
