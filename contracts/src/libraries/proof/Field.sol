// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

/// @dev r, the order of the groups of BLS12-381 (EIP-2537).
uint256 constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

/// @title The scalar field of BLS12-381
/// @notice Operands are below r unless a function says otherwise; results always are.
library Field {
    /// @dev 1/2.
    uint256 internal constant HALF = 0x39f6d3a994cebea4199cec0404d0ec02a9ded2017fff2dff7fffffff80000001;

    function add(uint256 a, uint256 b) internal pure returns (uint256) {
        return addmod(a, b, R);
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            return addmod(a, R - b, R);
        }
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256) {
        return mulmod(a, b, R);
    }

    /// @notice a + b·c.
    function mulAdd(uint256 a, uint256 b, uint256 c) internal pure returns (uint256) {
        return addmod(a, mulmod(b, c, R), R);
    }

    /// @notice 2^-n.
    function inversePowerOfTwo(uint256 n) internal pure returns (uint256 result) {
        result = 1;
        for (; n != 0; --n) {
            result = mulmod(result, HALF, R);
        }
    }
}
