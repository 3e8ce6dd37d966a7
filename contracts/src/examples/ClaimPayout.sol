// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title ClaimPayout: policy `quorum k with a window`. An insurer pays what a model accepts, a while later
/// @notice The answer waits; whoever has the (canonical) model can prove another one meanwhile, and then only that one
///         ever arrives here. So one honest watcher is enough, and a claim costs no proof as long as nobody lies.
contract ClaimPayout is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 100_000;
    uint256 public constant ACCEPTED = 1;
    uint256 public constant CLASSES = 2;
    uint256 public immutable PAYOUT_WEI;

    mapping(bytes32 requestId => address claimant) public claimantOf;
    /// @notice Accepted claims, to be withdrawn: a claimant who cannot be paid stops nobody's answer.
    mapping(address claimant => uint256 wei_) public owedWeiTo;

    event ClaimDecided(address indexed claimant, bool isAccepted);

    error NothingOwed(address claimant);
    error TransferFailed(address to, uint256 amountWei);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint8 k, uint32 windowSeconds, uint256 payoutWei)
        payable
        InferenceConsumer(coprocessor, modelId, PolicyWords.quorumWithWindow(k, windowSeconds))
    {
        PAYOUT_WEI = payoutWei;
    }

    /// @notice Files a claim; `msg.value` is the fee of those who answer.
    function file(bytes calldata evidence, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        requestId = _ask(evidence, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
        claimantOf[requestId] = msg.sender;
    }

    /// @notice Pays the caller what was accepted, as far as the insurer's money goes.
    function collect() external {
        uint256 amountWei = owedWeiTo[msg.sender];
        if (amountWei == 0) revert NothingOwed(msg.sender);
        delete owedWeiTo[msg.sender];
        (bool isPaid,) = msg.sender.call{value: amountWei}("");
        if (!isPaid) revert TransferFailed(msg.sender, amountWei);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        address claimant = claimantOf[requestId];
        bool isAccepted = Scores.indexOfLargest(output, CLASSES) == ACCEPTED;
        if (isAccepted) owedWeiTo[claimant] += PAYOUT_WEI;
        emit ClaimDecided(claimant, isAccepted);
    }
}
