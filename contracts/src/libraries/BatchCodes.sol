// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {BoundedCall} from "./BoundedCall.sol";
import {Policy} from "./Policy.sol";
import {ResultCode} from "./Types.sol";

/// @title How a batch runs an item and names what became of it
library BatchCodes {
    /// @dev Kept back per item still to be answered for: its event, its memory, the loop.
    uint256 internal constant GAS_PER_CODE = 6_000;

    /// @dev Below this no delivery can succeed, so none is tried.
    uint256 internal constant MIN_ITEM_GAS = 60_000;

    /// @notice Calls this contract itself with `data`, keeping `keptGas`, and returns the code; `reason` is the
    ///         error's selector.
    function tryItem(bytes memory data, uint256 keptGas) internal returns (ResultCode code, bytes4 reason) {
        uint256 leftGas = gasleft();
        if (leftGas < keptGas + MIN_ITEM_GAS) return (ResultCode.OUT_OF_GAS, 0);
        uint256 itemGas = leftGas - keptGas;
        bool isSuccess;
        uint256 size;
        bytes32 word;
        assembly ("memory-safe") {
            mstore(0x00, 0)
            // One word of what comes back is all that is needed: the code, or the error's selector.
            isSuccess := call(itemGas, address(), 0, add(data, 0x20), mload(data), 0x00, 0x20)
            size := returndatasize()
            word := mload(0x00)
        }
        if (isSuccess) return (ResultCode(uint8(uint256(word))), 0);
        // No custom error here and none in a verifier is empty; running out of gas is.
        if (size < 4) return (ResultCode.OUT_OF_GAS, 0);
        return (codeOf(bytes4(word)), bytes4(word));
    }

    /// @notice The code for an error of `deliver` or `deliverSigned`. Errors of verifiers and of the router are
    ///         BAD_EVIDENCE.
    function codeOf(bytes4 reason) internal pure returns (ResultCode) {
        if (reason == ICoprocessor.UnknownRequest.selector) return ResultCode.UNKNOWN_REQUEST;
        if (reason == ICoprocessor.AlreadyDelivered.selector) return ResultCode.ALREADY_DELIVERED;
        if (reason == ICoprocessor.RequestClosed.selector) return ResultCode.CLOSED;
        if (reason == ICoprocessor.Expired.selector) return ResultCode.EXPIRED;
        if (reason == ICoprocessor.BadRequesterSignature.selector) return ResultCode.BAD_SIGNATURE;
        if (reason == ICoprocessor.Unpaid.selector) return ResultCode.UNPAID;
        if (reason == BoundedCall.InsufficientGas.selector) return ResultCode.OUT_OF_GAS;
        return _isRefusal(reason) ? ResultCode.REFUSED : ResultCode.BAD_EVIDENCE;
    }

    function _isRefusal(bytes4 reason) private pure returns (bool) {
        return reason == Policy.MalformedPolicy.selector || reason == ICoprocessor.WindowTooLong.selector
            || reason == ICoprocessor.KindNotServed.selector || reason == ICoprocessor.ModelNotActive.selector
            || reason == ICoprocessor.DeadlineOutOfRange.selector || reason == ICoprocessor.CallbackGasTooHigh.selector
            || reason == ICoprocessor.ZeroRefundAddress.selector;
    }
}
