// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title ProvenCredit: policy `proof`. A credit line as high as a scoring model says
/// @notice No operator, and no number of them, can raise a line: the chain itself verifies that the registered weights
///         give this score for this file.
contract ProvenCredit is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 80_000;
    /// @notice Wei of credit for each point of a score; scores below 0 give none.
    uint256 public immutable WEI_PER_POINT;

    mapping(bytes32 requestId => address borrower) public borrowerOf;
    mapping(address borrower => uint256 wei_) public lineWeiOf;

    event LineSet(address indexed borrower, uint256 lineWei);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint256 weiPerPoint)
        InferenceConsumer(coprocessor, modelId, PolicyWords.proof())
    {
        WEI_PER_POINT = weiPerPoint;
    }

    /// @notice Has the caller's own file scored.
    /// @dev What stands in the file is the caller's word; a lender takes it from a source it trusts, not from the
    ///      borrower as here.
    function apply_(bytes calldata file, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        requestId = _ask(file, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
        borrowerOf[requestId] = msg.sender;
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        Scores.requireCount(output, 1);
        int16 points = Scores.score(output, 0);
        address borrower = borrowerOf[requestId];
        uint256 lineWei = points > 0 ? uint256(uint16(points)) * WEI_PER_POINT : 0;
        lineWeiOf[borrower] = lineWei;
        emit LineSet(borrower, lineWei);
    }
}
