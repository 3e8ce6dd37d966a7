// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {MODULUS} from "./Memory.sol";

/// @title The scalar field of BLS12-381
/// @notice Operands are below r; so are results. r is read from its place (Memory.sol).
library Field {
    /// @dev 1/2.
    uint256 internal constant HALF = 0x39f6d3a994cebea4199cec0404d0ec02a9ded2017fff2dff7fffffff80000001;

    function add(uint256 a, uint256 b) internal pure returns (uint256 c) {
        assembly ("memory-safe") {
            c := addmod(a, b, mload(MODULUS))
        }
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256 c) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            c := addmod(a, sub(r, b), r)
        }
    }

    function negate(uint256 a) internal pure returns (uint256 c) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            c := mod(sub(r, a), r)
        }
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256 c) {
        assembly ("memory-safe") {
            c := mulmod(a, b, mload(MODULUS))
        }
    }

    /// @notice a + b·c.
    function mulAdd(uint256 a, uint256 b, uint256 c) internal pure returns (uint256 d) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            d := addmod(a, mulmod(b, c, r), r)
        }
    }

    /// @notice 2^-n.
    function inversePowerOfTwo(uint256 n) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            result := 1
            for {} n { n := sub(n, 1) } { result := mulmod(result, HALF, r) }
        }
    }
}
